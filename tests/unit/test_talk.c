/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "replay/net/talk.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void pair(struct talk *ret_here, int *ret_there)
{
	struct control *control;
	int fds[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	CHECK_EQ(control_new(fds[0], NULL, NULL, &control, NULL), 0);
	talk_init(ret_here, control, "the other");
	*ret_there = fds[1];
}

/* More than a socket holds, to one who takes nothing of it, though he has said something himself. */
static void test_takes_nothing(void)
{
	static char text[4 << 20];
	struct talk here;
	struct err err;
	int there;

	for (int said = 0; said < 2; said++) {
		check_case("who has %ssaid something", said ? "" : "not ");
		pair(&here, &there);
		memset(text, 'x', sizeof(text));
		wire_put_text(&here.out, text, sizeof(text));
		CHECK_EQ(write(there, text, (size_t)said), said);
		alarm(20); /* it would never return */
		CHECK_EQ(talk_send(&here, 50, &err), -ETIMEDOUT);
		alarm(0);
		close(there);
		talk_release(&here);
	}
}

int main(void)
{
	RUN(test_takes_nothing);
	return check_done();
}
