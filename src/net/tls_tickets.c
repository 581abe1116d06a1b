/* Session tickets (RFC 5077, RFC 8446 section 4.6.1): the keys never leave the process and do not live long, so what
 * was recorded cannot be read later by who takes over the machine. */
#include "tls_session.h"

#include "sluice/base/clock.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KEY_NAME_BYTES 16 /* fixed by OpenSSL's callback */
#define KEYS           3  /* the one in use and two older ones */
#define ROTATE_NS      (UINT64_C(3600) * SL_SEC)

struct ticket_key {
    unsigned char name[KEY_NAME_BYTES], cipher[32], mac[32];
    uint64_t made_ns;
};

static struct {
    pthread_mutex_t lock;
    struct ticket_key keys[KEYS]; /* the newest first */
    unsigned count;
} ring = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void rotate_if_due(uint64_t now_ns)
{
    if (ring.count > 0 && now_ns - ring.keys[0].made_ns < ROTATE_NS)
        return;
    memmove(&ring.keys[1], &ring.keys[0], (KEYS - 1) * sizeof ring.keys[0]);
    if (RAND_bytes((unsigned char *)&ring.keys[0], sizeof ring.keys[0]) != 1)
        abort();
    ring.count += ring.count < KEYS;
    ring.keys[0].made_ns = now_ns;
}

/* Copies the newest key, or the one of this name, under the lock. Returns its age in rotations, -1 if it is unknown. */
static int take_key(const unsigned char *name, struct ticket_key *key_out)
{
    int found = -1;
    pthread_mutex_lock(&ring.lock);
    uint64_t now_ns = sl_clock_now_ns();
    rotate_if_due(now_ns);
    for (unsigned i = 0; i < ring.count && found < 0; i++)
        if (name == NULL || (memcmp(ring.keys[i].name, name, KEY_NAME_BYTES) == 0 &&
                             now_ns - ring.keys[i].made_ns < KEYS * ROTATE_NS)) /* it may have been quiet for long */
            found = (int)i;
    if (found >= 0)
        *key_out = ring.keys[found];
    pthread_mutex_unlock(&ring.lock);
    return found;
}

static int use_key(struct ticket_key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                   int is_new)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    bool is_set = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, is_new) == 1 &&
                  EVP_MAC_CTX_set_params(mac, params) == 1;
    OPENSSL_cleanse(key, sizeof *key);
    return is_set ? 1 : -1;
}

/* As SSL_CTX_set_tlsext_ticket_key_evp_cb(3) wants it: 1 go on, 2 go on with a new ticket, 0 no such key, -1 error. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                     int is_new)
{
    struct ticket_key key;
    (void)ssl;
    if (is_new) {
        (void)take_key(NULL, &key);
        memcpy(name, key.name, KEY_NAME_BYTES);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
            return -1;
        return use_key(&key, iv, cipher, mac, is_new);
    }
    int age = take_key(name, &key);
    if (age < 0)
        return 0;
    int rc = use_key(&key, iv, cipher, mac, is_new);
    return rc == 1 && age > 0 ? 2 : rc;
}

void sl_tls_use_tickets(SSL_CTX *ctx)
{
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
    SSL_CTX_set_num_tickets(ctx, 1);
}
