/* The one crossing between threads: nothing lost, order kept per sender, and one turn runs what that turn found. */
#include "sluice/base/mailbox.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define SENDERS 2
#define LETTERS 2000

struct letter {
    struct sl_mail mail;
    struct sl_mailbox *box;
    unsigned sender, number;
};

static unsigned arrived[SENDERS]; /* how many letters of each sender; the next one must have this number */
static bool is_in_order = true;

static bool is_readable(const struct sl_mailbox *box, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = box->fd, .events = POLLIN};
    return poll(&poll_fd, 1, timeout_ms) == 1;
}

static void on_letter(struct sl_mail *mail)
{
    struct letter *letter = SL_CONTAINER_OF(mail, struct letter, mail);
    is_in_order &= letter->number == arrived[letter->sender];
    arrived[letter->sender]++;
}

static int reset(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SENDERS; i++)
        arrived[i] = 0;
    is_in_order = true;
    return 0;
}

static void post_before_run_makes_the_fd_readable_once(void **state)
{
    (void)state;
    struct sl_mailbox box;
    assert_int_equal(sl_mailbox_init(&box), SL_OK);
    assert_false(is_readable(&box, 0));
    struct letter first = {.mail.on_arrival = on_letter}, second = {.mail.on_arrival = on_letter, .number = 1};
    sl_mailbox_post(&box, &first.mail);
    sl_mailbox_post(&box, &second.mail);
    assert_int_equal(arrived[0], 0); /* never inside post */
    assert_true(is_readable(&box, 0));
    sl_mailbox_run(&box);
    assert_int_equal(arrived[0], 2);
    assert_true(is_in_order);
    assert_false(is_readable(&box, 0));
    sl_mailbox_run(&box); /* an idle turn does nothing */
    assert_int_equal(arrived[0], 2);
    sl_mailbox_dispose(&box);
}

static void on_letter_post_again(struct sl_mail *mail)
{
    struct letter *letter = SL_CONTAINER_OF(mail, struct letter, mail);
    arrived[0]++;
    sl_mailbox_post(letter->box, mail);
}

static void run_mail_posted_meanwhile_waits_for_the_next_turn(void **state)
{
    (void)state;
    struct sl_mailbox box;
    assert_int_equal(sl_mailbox_init(&box), SL_OK);
    struct letter letter = {.mail.on_arrival = on_letter_post_again, .box = &box};
    sl_mailbox_post(&box, &letter.mail);
    sl_mailbox_run(&box);
    assert_int_equal(arrived[0], 1);
    assert_true(is_readable(&box, 0)); /* it will be woken for it */
    sl_mailbox_run(&box);
    assert_int_equal(arrived[0], 2);
    letter.mail.on_arrival = on_letter;
    letter.number = 2;
    sl_mailbox_run(&box);
    assert_int_equal(arrived[0], 3);
    assert_false(is_readable(&box, 0));
    sl_mailbox_dispose(&box);
}

static void run_many_mails_takes_turns(void **state)
{
    (void)state;
    static struct letter letters[3 * SL_MAILBOX_RUN_MAX];
    struct sl_mailbox box;
    assert_int_equal(sl_mailbox_init(&box), SL_OK);
    for (unsigned i = 0; i < 3 * SL_MAILBOX_RUN_MAX; i++) {
        letters[i] = (struct letter){.mail.on_arrival = on_letter, .number = i};
        sl_mailbox_post(&box, &letters[i].mail);
    }
    for (unsigned turn = 1; turn <= 3; turn++) {
        assert_true(is_readable(&box, 0)); /* it will be woken for those that are left */
        sl_mailbox_run(&box);
        assert_int_equal(arrived[0], turn * SL_MAILBOX_RUN_MAX);
    }
    assert_true(is_in_order);
    assert_false(is_readable(&box, 0));
    sl_mailbox_dispose(&box);
}

struct sender {
    pthread_t thread;
    struct sl_mailbox *box;
    struct letter letters[LETTERS];
};

static void *send_all(void *ctx)
{
    struct sender *sender = ctx;
    for (unsigned i = 0; i < LETTERS; i++)
        sl_mailbox_post(sender->box, &sender->letters[i].mail);
    return NULL;
}

static void post_two_threads_all_arrive_in_their_order(void **state)
{
    (void)state;
    static struct sender senders[SENDERS];
    struct sl_mailbox box;
    assert_int_equal(sl_mailbox_init(&box), SL_OK);
    for (unsigned s = 0; s < SENDERS; s++) {
        senders[s].box = &box;
        for (unsigned i = 0; i < LETTERS; i++)
            senders[s].letters[i] = (struct letter){.mail.on_arrival = on_letter, .sender = s, .number = i};
        assert_int_equal(pthread_create(&senders[s].thread, NULL, send_all, &senders[s]), 0);
    }
    while (arrived[0] + arrived[1] < SENDERS * LETTERS) {
        assert_true(is_readable(&box, 10000)); /* a lost wake-up would be seen here */
        sl_mailbox_run(&box);
    }
    for (unsigned s = 0; s < SENDERS; s++) {
        assert_int_equal(pthread_join(senders[s].thread, NULL), 0);
        assert_int_equal(arrived[s], LETTERS);
    }
    assert_true(is_in_order);
    sl_mailbox_dispose(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(post_before_run_makes_the_fd_readable_once, reset),
        cmocka_unit_test_setup(run_mail_posted_meanwhile_waits_for_the_next_turn, reset),
        cmocka_unit_test_setup(run_many_mails_takes_turns, reset),
        cmocka_unit_test_setup(post_two_threads_all_arrive_in_their_order, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
