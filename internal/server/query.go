package server

import (
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// parameters are those of a list besides limit and offset. Each is taken at
// most once.
type parameters map[string]func(value string) error

// page reads a list's query; what isn't known isn't taken.
func page(c *call, more parameters) (store.Page, error) {
	p := store.Page{Limit: 50}
	query, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return p, refuse(api.CodeInvalidArgument, "the query is malformed")
	}
	for name, values := range query {
		take := more[name]
		switch {
		case name == "limit":
			take = number(&p.Limit, 1, 200)
		case name == "offset":
			take = number(&p.Offset, 0, 1_000_000_000)
		case take == nil:
			return p, refuse(api.CodeInvalidArgument, "the query parameter %.20s isn't known", name)
		}
		if len(values) != 1 {
			return p, refuse(api.CodeInvalidArgument, "%s stands more than once", name)
		}
		if values[0] == "" || !utf8.ValidString(values[0]) {
			return p, refuse(api.CodeInvalidArgument, "%s is empty or isn't UTF-8", name)
		}
		if err := take(values[0]); err != nil {
			return p, err
		}
	}
	return p, nil
}

func number(into *int, least, most int) func(string) error {
	return func(v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > most {
			return refuse(api.CodeInvalidArgument, "limit must be 1 to 200, offset at most 1000000000")
		}
		*into = n
		return nil
	}
}

func timeInto(into *time.Time) func(string) error {
	return func(v string) error {
		t, err := time.Parse(time.RFC3339Nano, v)
		if err != nil || t.Year() < 1970 {
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
