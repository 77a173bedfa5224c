// Package failover shows what a lost primary costs: three PostgreSQL under
// Patroni with etcd, synchronous replication, two control planes and two
// workloads under load, and the machine of the primary dies, again and again.
// It needs Debian's patroni, etcd-server and postgresql; `make failover`
// and `make soak` run it, the gate doesn't.
package failover
