//go:build failover

package failover

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sigilkeys/sigil/test/ports"
)

// nobody runs Patroni and PostgreSQL, which refuses to be root.
const nobody = 65534

// Settings of Patroni, in seconds; printed with the result. Its own defaults
// are 30, 10 and 10.
const (
	ttl          = 10
	loopWait     = 2
	retryTimeout = 3
)

// cluster is three PostgreSQL under Patroni, and their etcd.
type cluster struct {
	t       *testing.T
	dir     string
	bin     string // PostgreSQL's programs
	etcd    int    // port
	synchro bool
	nodes   [3]*node
}

// node is one machine of the cluster: Patroni and its PostgreSQL.
type node struct {
	c        *cluster
	name     string
	sql, api int // ports
	patroni  *exec.Cmd
}

func port(t *testing.T) int {
	t.Helper()
	return int(netip.MustParseAddrPort(ports.Reserve(t)).Port())
}

func program(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s isn't installed: apt-get install %s", name, pkg)
	}
	return path
}

// startCluster starts one with an empty database "sigil".
func startCluster(t *testing.T, synchronous bool) *cluster {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		t.Fatal("PostgreSQL isn't installed: apt-get install postgresql")
	}
	dir, err := os.MkdirTemp("", "sigil-ha-")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, dir: dir, bin: bins[len(bins)-1], synchro: synchronous}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c.own(dir)
	c.startEtcd()
	for i := range c.nodes {
		c.nodes[i] = &node{c: c, name: fmt.Sprintf("n%d", i+1), sql: port(t), api: port(t)}
	}
	for i, n := range c.nodes {
		n.configure()
		n.start()
		t.Cleanup(n.kill)
		if i == 0 {
			c.await("a primary", func() bool { return c.primary() == n })
		}
	}
	c.settled()
	return c
}

// own gives a path to the user that the servers run as.
func (c *cluster) own(path string) {
	if os.Geteuid() == 0 {
		if err := os.Chown(path, nobody, nobody); err != nil {
			c.t.Fatal(err)
		}
	}
}

// run starts a program as that user. It ends with the test.
func (c *cluster) run(name, path string, args ...string) *exec.Cmd {
	c.t.Helper()
	log, err := os.OpenFile(filepath.Join(c.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = c.dir, []string{"PATH=" + c.bin + ":/usr/bin:/bin", "HOME=" + c.dir, "LC_ALL=C.UTF-8"}
	cmd.Stdout, cmd.Stderr = log, log
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	return cmd
}

func (c *cluster) startEtcd() {
	c.t.Helper()
	c.etcd = port(c.t)
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", c.etcd), fmt.Sprintf("http://127.0.0.1:%d", port(c.t))
	cmd := c.run("etcd", program(c.t, "etcd", "etcd-server"), "--name", "e1", "--data-dir", filepath.Join(c.dir, "etcd"), "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "e1="+peer)
	c.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	c.await("etcd", func() bool {
		res, err := http.Get(client + "/health")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == 200
	})
}

func (c *cluster) await(what string, done func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			for _, name := range []string{"etcd", "n1", "n2", "n3"} {
				log, _ := os.ReadFile(filepath.Join(c.dir, name+".log"))
				c.t.Logf("%s:\n%s", name, log[max(0, len(log)-2000):])
			}
			c.t.Fatalf("%s doesn't come", what)
		}
	}
}

const configuration = `scope: sigil
name: %[1]s
restapi: {listen: '127.0.0.1:%[2]d', connect_address: '127.0.0.1:%[2]d'}
etcd3: {host: '127.0.0.1:%[3]d'}
bootstrap:
  dcs:
    ttl: %[4]d
    loop_wait: %[5]d
    retry_timeout: %[6]d
    maximum_lag_on_failover: 67108864
    synchronous_mode: %[7]t
    synchronous_mode_strict: %[7]t
    postgresql: {use_pg_rewind: true, use_slots: true, parameters: {max_connections: 100, shared_buffers: 32MB}}
  initdb: [{encoding: UTF8}, {locale: C}, data-checksums]
postgresql:
  listen: '127.0.0.1:%[8]d'
  connect_address: '127.0.0.1:%[8]d'
  data_dir: %[9]s/%[1]s
  bin_dir: %[10]s
  pgpass: %[9]s/%[1]s.pgpass
  pg_hba: ['local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']
  authentication: {superuser: {username: postgres, password: p}, replication: {username: replicator, password: p}}
  parameters: {unix_socket_directories: '%[9]s'}
`

func (n *node) configure() {
	c := n.c
	text := fmt.Sprintf(configuration, n.name, n.api, c.etcd, ttl, loopWait, retryTimeout, c.synchro, n.sql, c.dir, c.bin)
	path := filepath.Join(c.dir, n.name+".yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.own(path)
}

func (n *node) start() {
	n.c.t.Helper()
	n.patroni = n.c.run(n.name, program(n.c.t, "patroni", "patroni"), filepath.Join(n.c.dir, n.name+".yml"))
}

// postmaster is the process of the node's PostgreSQL, or 0.
func (n *node) postmaster() int {
	b, err := os.ReadFile(filepath.Join(n.c.dir, n.name, "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil || pid <= 1 {
		return 0
	}
	// The file outlives the process, whose number may be another's by now.
	cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if !strings.Contains(string(cmdline), filepath.Join(n.c.dir, n.name)) {
		return 0
	}
	return pid
}

func children(pid int) (list []int) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, field := range strings.Fields(string(b)) {
		if child, err := strconv.Atoi(field); err == nil && child > 1 {
			list = append(list, child)
		}
	}
	return list
}

// kill takes the machine away: Patroni and every process of its PostgreSQL,
// with SIGKILL. What runs no more is left alone.
func (n *node) kill() {
	if n.patroni != nil {
		_ = n.patroni.Process.Kill()
		_ = n.patroni.Wait()
		n.patroni = nil
	}
	pid := n.postmaster()
	if pid == 0 {
		return
	}
	_ = syscall.Kill(pid, syscall.SIGSTOP) // it starts no more children while they are listed
	for _, child := range children(pid) {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

// member is what Patroni's REST API says of one.
type member struct {
	Name, Role, State string
}

// members asks any node that answers.
func (c *cluster) members() []member {
	hc := &http.Client{Timeout: 2 * time.Second}
	for _, n := range c.nodes {
		if n == nil || n.patroni == nil {
			continue
		}
		res, err := hc.Get(fmt.Sprintf("http://127.0.0.1:%d/cluster", n.api))
		if err != nil {
			continue
		}
		var all struct{ Members []member }
		err = json.NewDecoder(res.Body).Decode(&all)
		if res.Body.Close() == nil && err == nil {
			return all.Members
		}
	}
	return nil
}

// primary is the node that takes writes, or nil.
func (c *cluster) primary() *node {
	for _, n := range c.nodes {
		if n == nil || n.patroni == nil {
			continue
		}
		ctx, stop := context.WithTimeout(context.Background(), 2*time.Second)
		conn, err := pgx.Connect(ctx, n.dsn("postgres", "postgres"))
		if err != nil {
			stop()
			continue
		}
		var standby bool
		err = conn.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&standby)
		_ = conn.Close(ctx)
		stop()
		if err == nil && !standby {
			return n
		}
	}
	return nil
}

func (n *node) dsn(role, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", role, n.sql, database)
}

// dsn names all nodes: whichever takes writes is used.
func (c *cluster) dsn(role, database string) string {
	var hosts []string
	for _, n := range c.nodes {
		hosts = append(hosts, fmt.Sprintf("127.0.0.1:%d", n.sql))
	}
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable&connect_timeout=2", role, strings.Join(hosts, ","), database)
}

// settled waits for one primary, two standbys that follow it, and, where
// replication is synchronous, one that it waits for.
func (c *cluster) settled() {
	c.t.Helper()
	c.await("a whole cluster", func() bool {
		roles := map[string]int{}
		for _, m := range c.members() {
			if m.State == "running" || m.State == "streaming" {
				roles[m.Role]++
			}
		}
		if c.synchro {
			return roles["leader"] == 1 && roles["sync_standby"] == 1 && roles["replica"] == 1
		}
		return roles["leader"] == 1 && roles["replica"] == 2
	})
}

// exec runs SQL on the primary as the superuser.
func (c *cluster) exec(database, text string) {
	c.t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	conn, err := pgx.Connect(ctx, c.primary().dsn("postgres", database))
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, text); err != nil {
		c.t.Fatal(err)
	}
}
