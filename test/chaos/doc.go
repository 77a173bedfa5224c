// Package chaos kills Sigil's processes, and PostgreSQL's, under load and then compares what was
// acknowledged with what is stored: no acknowledged wallet or signature may be
// lost, every released signature has its receipt, and a repeated request gets
// the very same answer.
//
//	go test ./test/chaos                 50 kills of each process
//	SIGIL_TEST_KILLS=1000 make soak      more
//	SIGIL_TEST_SEED=7                    the same schedule again
package chaos
