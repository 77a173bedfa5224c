package pgstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sigilkeys/sigil/internal/store/sqlrows"
)

// Config says where the database is and how long to try.
type Config struct {
	// DSN is a URL or a list of keywords, as libpq takes them. It may name
	// several hosts: whichever takes writes is used, and found again after a
	// fail-over. Hosts that aren't this machine need sslmode=verify-full or
	// verify-ca. It may hold a password, so it belongs into no argument list.
	DSN string
	// Patience bounds how long a write is tried again while the server is away
	// or the outcome unknown; default 15 seconds.
	Patience time.Duration
	// Attempt bounds one try; default 10 seconds.
	Attempt time.Duration
}

const (
	schema = "sigil"
	// maxConns is the size of the pool unless the DSN has pool_max_conns.
	maxConns = 16
)

// parse reads the DSN and sets what isn't the operator's to leave out.
func parse(dsn string) (*pgxpool.Config, error) {
	if strings.TrimSpace(dsn) == "" {
		return nil, errors.New("the DSN of the database is empty")
	}
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("DSN of the database: %w", err) // pgx leaves the password out
	}
	if !strings.Contains(dsn, "pool_max_conns") {
		cfg.MaxConns = maxConns
	}
	c := cfg.ConnConfig
	if err := transport(c); err != nil {
		return nil, err
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	c.DialFunc = dialer().DialContext
	c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	c.OnNotice = noteWarning
	c.RuntimeParams["search_path"] = schema
	c.RuntimeParams[scopeSetting] = string(sqlrows.Nobody) // whatever the DSN or the role says
	c.RuntimeParams["default_transaction_isolation"] = "read committed"
	for name, value := range map[string]string{
		"application_name": "sigil", "synchronous_commit": "on", "statement_timeout": "8s", "lock_timeout": "5s",
		"idle_in_transaction_session_timeout": "5s",
	} {
		if c.RuntimeParams[name] == "" {
			c.RuntimeParams[name] = value
		}
	}
	if v := c.RuntimeParams["synchronous_commit"]; !durable(v) {
		return nil, fmt.Errorf("synchronous_commit=%s acknowledges what a crash loses; on and remote_apply don't", v)
	}
	return cfg, nil
}

// durable are the settings with which a commit is flushed here, and there
// where a standby is synchronous, before it is acknowledged.
func durable(synchronousCommit string) bool {
	return synchronousCommit == "on" || synchronousCommit == "remote_apply"
}

// transport refuses hosts of other machines without authenticated TLS. pgx
// lists each host with each way to connect, so that "prefer" has one without.
func transport(c *pgx.ConnConfig) error {
	hosts := append([]*pgconn.FallbackConfig{{Host: c.Host, TLSConfig: c.TLSConfig}}, c.Fallbacks...)
	for _, h := range hosts {
		if !local(h.Host) && !authenticated(h.TLSConfig) {
			return fmt.Errorf("database host %s isn't this machine: sslmode=verify-full is needed (or verify-ca)", h.Host)
		}
	}
	return nil
}

func local(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func authenticated(c *tls.Config) bool {
	// sslmode=require without a root is encryption with whoever answers.
	return c != nil && (!c.InsecureSkipVerify || c.VerifyPeerCertificate != nil || c.VerifyConnection != nil)
}

// checkServer runs on each new connection: a fail-over may lead to a server
// that is set up otherwise, and a pooler may drop what the session asked for.
func checkServer(ctx context.Context, conn *pgx.Conn) error {
	var fsync, commit, path string
	err := conn.QueryRow(ctx, `SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('search_path')`).Scan(&fsync, &commit, &path)
	switch {
	case err != nil:
		return fmt.Errorf("check the database server: %w", err)
	case fsync != "on":
		return errors.New("the database server runs with fsync=off: a crash would lose what it acknowledged")
	case !durable(commit) || path != schema:
		return fmt.Errorf("the session has synchronous_commit=%s and search_path=%s: a pooler in between drops the settings of sessions", commit, path)
	}
	return nil
}

const warned = "sigil.warned"

// noteWarning marks the connection. The server commits with a mere warning
// where it stopped waiting for its synchronous standby.
func noteWarning(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" {
		c.CustomData()[warned] = n.Message
	}
}

// takeWarning returns what the server warned of since it was last asked.
func takeWarning(c *pgconn.PgConn) error {
	message, has := c.CustomData()[warned]
	if !has {
		return nil
	}
	delete(c.CustomData(), warned)
	return fmt.Errorf("%w: %v", errWarned, message)
}
