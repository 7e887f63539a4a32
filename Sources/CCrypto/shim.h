// The door to libcrypto, OpenSSL's: SHA-256 by the processor's own instructions.
#if !__has_include(<openssl/sha.h>)
#error "libcrypto's headers are missing: run `apt-get install libssl-dev`"
#endif
// OpenSSL would rather have EVP used, whose contexts live on the heap.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
