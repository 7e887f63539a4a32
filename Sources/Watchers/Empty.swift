// Watchers
