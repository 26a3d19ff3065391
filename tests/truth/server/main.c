/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

const struct model models[] = {
	{ "loop", "one thread, epoll", run_loop, RECV_RECV, SEND_SEND, LOAD_READ, STORE_WRITE,
	  true },
	{ "threads", "a thread a connection", run_threads, RECV_READ, SEND_WRITE, LOAD_PREAD,
	  STORE_PWRITE, false },
	{ "process", "a process a connection", run_process, RECV_RECV, SEND_SEND, LOAD_PREAD,
	  STORE_PWRITE, false },
	{ "loops", "threads with a loop each, of one port", run_loops, RECV_RECVMSG, SEND_SENDMSG,
	  LOAD_PREAD, STORE_PWRITE, true },
	{ "prefork", "processes with a loop each, of one port", run_prefork, RECV_RECV, SEND_WRITEV,
	  LOAD_PREAD, STORE_PWRITE, true },
	{ "accept", "a thread accepts and gives connections to threads with a loop each",
	  run_accept, RECV_READ, SEND_SENDMSG, LOAD_PREAD, STORE_PWRITE, false },
	{ "iothreads", "a loop reads and works, threads reply", run_iothreads, RECV_READ,
	  SEND_WRITE, LOAD_PREAD, STORE_PWRITE, true },
	{ "pool", "a loop reads, threads take requests from a queue", run_pool, RECV_RECV,
	  SEND_SEND, LOAD_PREAD, STORE_PWRITE, true },
	{ "batch", "a loop reads all, writes and syncs once, replies to all", run_batch, RECV_READ,
	  SEND_WRITE, LOAD_PREAD, STORE_WRITE, true },
	{ 0 },
};

const struct model *model;

int main(int argc, char **argv)
{
	options_parse(argv);
	log_init();
	net_init();
	files_init();
	serve_init();
	fault_init();
	signals_catch();
	cpu_calibrate();
	upstream_init();
	model->run();
	log_write();
	return 0;
}
