// Arbitration
