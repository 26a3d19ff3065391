/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_REPLAY_NODE_LIMITS_H
#define GAIT_REPLAY_NODE_LIMITS_H

/*
 * What a node takes, and what it does at the edge. (The limits of single messages
 * are in replay/net/wire.h.)
 */

/* Plan requests held, unserved: the client is told in HELLO; one more ends the session. */
#define NODE_REQUESTS_AHEAD (1u << 18)
#define NODE_REQUESTS_AHEAD_MAX (1u << 24)
#define NODE_OPS_PER_REQUEST 8 /* ops held: that many times the requests */

/* Requests of a thread that nobody will call for, and whose plan is to come. More stay planned. */
#define NODE_FORGOTTEN (1u << 18)

/* Bytes of all files, appends too. Layout beyond it ends the session; a store gets EDQUOT. */
#define NODE_STORAGE_BYTES (4ull << 30)

/* CPU of one compute op. A longer one ends the session. */
#define NODE_COMPUTE_MAX_MS 60000

/* Mutexes that lock ops contend on; a larger number means one of these. */
#define NODE_LOCKS 1024

/* What one memory op holds at a time: a larger one touches as much again and again. */
#define NODE_MEMORY_BYTES (64u << 20)

/* Shared ops of recorded batching that some of their requests have reached. One more runs alone. */
#define NODE_GROUPS_MAX 65536

/* Clients at once; one of them may replay, which takes the files, the others walk. */
#define NODE_SESSIONS_MAX 16

/* Connections that have not said yet what they are. The oldest gives way. */
#define NODE_NEWCOMERS_MAX 64
#define NODE_WORKER_NEWCOMERS_MAX 1024 /* of a thread of a service: many data connections at once */
#define NODE_NEWCOMER_MS 5000

/* Sentences about clients that were turned away: so many at once, then one in so long. */
#define NODE_TELLS_MAX 20
#define NODE_TELL_MS 1000

/* A client that takes nothing for so long has gone. */
#define NODE_SEND_TIMEOUT_S 30

/* Connections that wait to be accepted at a listener, unless told otherwise. */
#define NODE_BACKLOG 4096

/* How long a refused client is listened to, so that it can hear why. */
#define NODE_LINGER_MS 1000

/* A connection of a walk is not read from while so many replies wait, or requests are under way. */
#define NODE_WALK_REPLIES 65536
#define NODE_WALK_OPEN 65536

/*
 * Peers of a thread that send datagrams: the one that was silent longest gives way, and one that
 * was for so long, unless told otherwise, is forgotten. A socket that takes no reply for so long has lost it.
 */
#define NODE_PEERS_MAX 65536
#define NODE_PEER_IDLE_S 60
#define NODE_DATAGRAM_MS 20

/* One receive, one system call of a larger load, store or reply. */
#define NODE_RECEIVE_BYTES 65536
#define NODE_CALL_BYTES (16u << 20)

/* Events of one pass of a loop. */
#define NODE_EVENTS_MAX 1024

/* Buffers of rows a thread fills ahead of the control thread; then it writes them itself. */
#define NODE_SPOOL_CHUNKS 64
#define NODE_SPOOL_CHUNK_BYTES 65536

/*
 * Of a walk that keeps a sample of its rows: the last of the others, as many bytes of rows and of ops
 * each; and how many names of slow ones are remembered.
 */
#define NODE_RING_BYTES (64u << 20)
#define NODE_NAMES_MAX 65536 /* a power of two */

/* How long threads have to tell what they have counted, when that is asked for. */
#define NODE_REPORT_MS 50

/* How often the control thread credits requests and writes rows. */
#define NODE_TICK_MS 20

#endif
