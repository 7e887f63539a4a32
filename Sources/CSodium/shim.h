// The door to libsodium: the boxes that CurveZMQ is made of.
#if !__has_include(<sodium.h>)
#error "libsodium's headers are missing: run `apt-get install libsodium-dev`"
#endif
#include <sodium.h>
