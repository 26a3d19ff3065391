/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_TESTS_TRUTH_INJECT_LOCK_H
#define GAIT_TESTS_TRUTH_INJECT_LOCK_H

/* A lock that processes share: a mutex in a file. */
#include "truth.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

/* Who makes the file makes the mutex; it must be there before others open it. */
static inline pthread_mutex_t *lock_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool made = fd >= 0;
	pthread_mutexattr_t attr;
	pthread_mutex_t *lock;

	if (!made)
		fd = must(open(path, O_RDWR | O_CLOEXEC), path);
	must(ftruncate(fd, sizeof(*lock)), path);
	lock = mmap(NULL, sizeof(*lock), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (lock == MAP_FAILED)
		die(path);
	close(fd);
	if (!made)
		return lock;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(lock, &attr);
	return lock;
}

#endif
