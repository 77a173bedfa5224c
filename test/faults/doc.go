// Package faults makes each external call of Sigil's programs fail in each way,
// one cell of a table at a time, mends it in each way, and has the whole state
// verified after each step.
//
// Calls are the methods of the control plane's store, on SQLite and on
// PostgreSQL; its link to the TEE; the workload's calls of launcher, STS and KMS;
// and the requests of clients. A call fails, is done and then fails, is slow, or
// answers garbage. What helps is the same request again, or the program started
// anew on the same database and then the same request.
//
//	go test -v ./test/faults                   every cell once, and the table
//	SIGIL_TEST_ROUNDS=20 make soak             more, each with other operations
//	SIGIL_TEST_SEED=7                          the same cells again
package faults
