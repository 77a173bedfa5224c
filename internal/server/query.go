package server

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// readQuery takes the query apart, once for all handlers. Parameters that the
// route doesn't take, that stand twice or that are empty are refused.
func (c *call) readQuery(known []string) error {
	if c.URL.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return refuse(api.CodeInvalidArgument, "the query is malformed")
	}
	c.query = make(map[string]string, len(query))
	for name, values := range query {
		switch {
		case !slices.Contains(known, name):
			return refuse(api.CodeInvalidArgument, "the query parameter %.20q isn't known", name)
		case len(values) != 1:
			return refuse(api.CodeInvalidArgument, "the query parameter %s stands twice", name)
		case values[0] == "" || !utf8.ValidString(values[0]):
			return refuse(api.CodeInvalidArgument, "the query parameter %s is empty or isn't UTF-8", name)
		}
		c.query[name] = values[0]
	}
	return nil
}

// parameters are how a route reads those that it takes, by name.
type parameters map[string]func(value string) error

// take reads the query's parameters; those that must be there are named.
func (c *call) take(p parameters, required ...string) error {
	for _, name := range required {
		if _, has := c.query[name]; !has {
			return refuse(api.CodeInvalidArgument, "the query parameter %s is missing", name)
		}
	}
	for name, value := range c.query {
		read := p[name]
		if read == nil {
			return fmt.Errorf("the route takes %s, but doesn't read it", name)
		}
		if err := read(value); err != nil {
			return err
		}
	}
	return nil
}

// page reads a list's query.
func page(c *call, more parameters) (store.Page, error) {
	p := store.Page{Limit: 50}
	all := parameters{"limit": number("limit", &p.Limit, 1, 200), "offset": number("offset", &p.Offset, 0, 1_000_000_000)}
	for name, read := range more {
		all[name] = read
	}
	return p, c.take(all)
}

// maxIndex bounds numbers of entries and sizes of ledgers: what JSON's readers
// hold exactly.
const maxIndex = 1<<53 - 1

// number takes decimal digits, written in the one way.
func number[N int | uint64](name string, into *N, least, most N) func(string) error {
	return func(v string) error {
		n, err := strconv.ParseUint(v, 10, 63)
		if err != nil || strconv.FormatUint(n, 10) != v || N(n) < least || N(n) > most {
			return refuse(api.CodeInvalidArgument, "%s must be a number from %d to %d", name, least, most)
		}
		*into = N(n)
		return nil
	}
}

// timeForm is RFC 3339's, which time.Parse takes more than.
var timeForm = regexp.MustCompile(`^(19[7-9]\d|[2-9]\d{3})-\d{2}-\d{2}T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func timeInto(into *time.Time) func(string) error {
	return func(v string) error {
		t, err := time.Parse(time.RFC3339Nano, v)
		if err != nil || !timeForm.MatchString(v) {
			return refuse(api.CodeInvalidArgument, "%.40q isn't a time as in 2026-01-31T12:00:00Z", v)
		}
		*into = t
		return nil
	}
}

func uuidInto(into *canon.UUID) func(string) error {
	return func(v string) error {
		u, err := canon.ParseUUID(v)
		if err != nil {
			return refuse(api.CodeInvalidArgument, "%.40q isn't a lower-case UUID", v)
		}
		*into = u
		return nil
	}
}

// checkWord bounds what is only compared.
func checkWord(s string, most int) error {
	if len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return refuse(api.CodeInvalidArgument, "%.40q is too long or has other characters than visible ASCII", s)
	}
	return nil
}
