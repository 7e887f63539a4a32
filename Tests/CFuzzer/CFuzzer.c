// Nothing: the driver is the compiler's. SwiftPM wants a source.
#include "CFuzzer.h"
