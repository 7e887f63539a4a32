// The door to libzmq.
#if !__has_include(<zmq.h>)
#error "libzmq's headers are missing: run `apt-get install libzmq3-dev`"
#endif
#include <zmq.h>
