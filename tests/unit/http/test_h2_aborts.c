/* Streams by the thousand that end where nobody expects it: reset by the client at any point, or cut off with their
 * connection. Everything comes home; under the sanitizers nothing leaks or is used after its end. The points are drawn
 * from a fixed seed. */
#include "h2_client.h"
#include "sluice/base/log.h"

#include <fcntl.h>
#include <signal.h>

#define ABORTED    10000
#define STREAMS_OF 10 /* of a connection: resets cost tokens of the peer's budget */
#define BODY_MAX   200000
#define STEPS_MAX  12

static struct h2_case c;
static uint64_t dice_state;
static unsigned answered, aborted;

static unsigned dice(unsigned sides)
{
    dice_state = dice_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(dice_state >> 33) % sides;
}

static int setup_engine(enum test_engine engine)
{
    c = (struct h2_case){0};
    answered = aborted = 0;
    dice_state = 4;
    h2_case_open(&c, engine);
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    scratch_put(&c.h.u.scratch, "files/f", text);
    return 0;
}

static int setup(void **state)
{
    return setup_engine(TEST_FAKE);
}

static int setup_uring(void **state)
{
    return setup_engine(TEST_IO_URING);
}

static int teardown(void **state)
{
    h2_case_close(&c);
    return 0;
}

static void ask_something(struct h2_client *client, struct h2_stream *stream)
{
    static unsigned names;
    char path[64];
    *stream = (struct h2_stream){0};
    snprintf(path, sizeof path, "/files/n%u", names++);
    stream->to_send = dice(4) == 0 ? dice(BODY_MAX) : dice(3000);
    switch (dice(6)) {
    case 0:
        stream->to_send = 0;
        h2_client_ask(client, stream, "GET", "/files/f", NULL, NULL);
        return;
    case 1:
        stream->to_send = 0;
        h2_client_ask(client, stream, "GET", "/files/", NULL, NULL);
        return;
    case 2:
        h2_client_ask(client, stream, "PUT", "/healthz", NULL, NULL);
        return; /* refused with its body under way */
    case 3: h2_client_ask(client, stream, "POST", "/", "content-type", "multipart/form-data; boundary=b"); return;
    case 4: stream->is_open_ended = true; break;
    default: break;
    }
    h2_client_ask(client, stream, "PUT", path, "expect", "100-continue");
}

/* A part of what is to be said, so that a frame can be cut; some turns, or none. */
static void go_on(struct h2_client *client)
{
    h2_client_gather(client);
    h2_client_send(client, dice(3) == 0 ? dice(400) : dice(60000));
    if (dice(2) == 0)
        h2_client_receive(client);
    for (unsigned turns = dice(3); turns > 0; turns--)
        h2_case_turn(&c, 0);
}

static void count(const struct h2_stream *stream)
{
    if (stream->status != 0 && stream->is_ended)
        answered++;
    else
        aborted++;
}

static void run_connection(void)
{
    static struct h2_stream streams[STREAMS_OF];
    struct h2_client client;
    nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, dice(3) == 0 ? dice(2000) : 65535};
    h2_client_open(&client, &c, &window, 1);
    for (unsigned i = 0; i < STREAMS_OF; i++) {
        ask_something(&client, &streams[i]);
        for (unsigned steps = dice(STEPS_MAX); steps > 0; steps--)
            go_on(&client);
        if (dice(4) > 0)
            h2_client_reset(&client, &streams[dice(i + 1)]);
    }
    for (unsigned steps = dice(STEPS_MAX); steps > 0; steps--)
        go_on(&client);
    h2_client_cut(&client);
    for (unsigned i = 0; i < STREAMS_OF; i++)
        count(&streams[i]);
    h2_client_close(&client);
    if (dice(8) == 0)
        h2_case_come_home(&c);
}

static void run_until_aborted(unsigned wanted)
{
    while (aborted < wanted)
        run_connection();
    h2_case_come_home(&c);
    assert_true(answered > wanted / 10); /* or the draw shows nothing */
}

static void ten_thousand_aborted_streams_give_everything_back(void **state)
{
    run_until_aborted(ABORTED);
}

static void aborted_streams_give_everything_back_with_io_uring(void **state)
{
    run_until_aborted(ABORTED / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ten_thousand_aborted_streams_give_everything_back, setup, teardown),
        cmocka_unit_test_setup_teardown(aborted_streams_give_everything_back_with_io_uring, setup_uring, teardown),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    sl_log_start(SL_LOG_TEXT, open("/dev/null", O_WRONLY | O_CLOEXEC));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sl_log_stop();
    return failed;
}
