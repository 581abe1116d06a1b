/* What HTTP may make us hold beside the body buffers, at most: for the sum that app/budget.h makes. Each is a bound
 * that the code keeps to, or what was measured at the worst and rounded up; a test over the wire measures again. Any
 * thread. */
#ifndef SLUICE_HTTP_COST_H
#define SLUICE_HTTP_COST_H

#include <stddef.h>
#include <stdint.h>

/* Of a connection: its request with a whole head, or an HTTP/2 session with what waits to be written. */
#define SL_HTTP_CONNECTION_BYTES ((size_t)64 << 10)
/* More of one by TLS: a handshake, a record that is not whole yet, ciphertext that waits to be written. */
#define SL_HTTP_TLS_BYTES ((size_t)64 << 10)
/* Of an upload, beside its connection: file, pipeline, and the state of one that can be gone on with. */
#define SL_HTTP_UPLOAD_BYTES ((size_t)16 << 10)

/* Of a loop: heads, held bodies and unwritten frames of all HTTP/2 connections together. */
uint64_t sl_http_h2_bytes(void);
/* Of a loop: text fields of forms, and the answers that tell them. */
uint64_t sl_http_form_bytes(void);

#endif
