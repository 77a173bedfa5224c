package main

// Rules of output. Standard output has the result and nothing else, so that
// it can be piped: with --json one JSON document, without it what a person or
// a shell needs. Progress, warnings and errors go to standard error. An error
// is one line, followed by a line with a hint where there is one. A secret is
// printed by no command but `key create --print`.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/adminkey"
)

// print writes the result: v as JSON with --json, else the lines.
func (a *app) print(v any, lines ...string) error {
	if !a.json {
		_, err := fmt.Fprintln(a.out, clean(strings.Join(lines, "\n")))
		return err
	}
	return writeJSON(a.out, v, "  ")
}

// writeJSON writes a document in which what clean would replace is escaped: it
// stays what it was, and steers no terminal that shows it.
func writeJSON(w io.Writer, v any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", indent)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	var out strings.Builder
	for _, r := range b.String() {
		switch {
		case !deceptive(r):
			out.WriteRune(r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// note writes a line for people to standard error.
func (a *app) note(format string, args ...any) {
	if !a.json {
		fmt.Fprintln(a.errOut, clean(fmt.Sprintf(format, args...)))
	}
}

// noteRest says what of a list a page left out.
func (a *app) noteRest(total, shown int) {
	if total > shown {
		a.note("%d more; --offset %d goes on", total-shown, shown)
	}
}

// progress makes what notes how far long work is, every two seconds.
func (a *app) progress() func(format string, args ...any) {
	said := time.Now()
	return func(format string, args ...any) {
		if time.Since(said) > 2*time.Second {
			said = time.Now()
			a.note(format, args...)
		}
	}
}

// clean keeps foreign text from steering the terminal, and from looking like
// other text than it is.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if deceptive(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// deceptive reports whether a character does something else than be seen:
// control characters, those that turn the direction of text or join, and
// whatever has no width, or is a space that isn't one. Marks that a script
// needs have a place, but for the variation selectors.
func deceptive(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case !unicode.IsGraphic(r): // controls, formats, line separators, private use, unassigned
		return true
	case unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r), unicode.Is(unicode.Variation_Selector, r):
		return true
	}
	return unicode.Is(unicode.Zs, r) && r != ' '
}

type errorOutput struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Field     string `json:"field,omitempty"`
	Reason    string `json:"reason,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	ReceiptID string `json:"receipt_id,omitempty"`
	Hint      string `json:"hint,omitempty"`
	Exit      int    `json:"exit_code"`
}

func (a *app) printError(err error, exit int) {
	o := describe(err)
	o.Exit = exit
	if exit == exitUsage { // cobra's errors have no type
		o.Code = "usage"
	}
	if a.json {
		_ = writeJSON(a.errOut, map[string]any{"error": o}, "")
		return
	}
	fmt.Fprintln(a.errOut, "sigil: "+oneLine(err.Error()))
	if o.RequestID != "" {
		fmt.Fprintln(a.errOut, "request: "+oneLine(o.RequestID))
	}
	if o.ReceiptID != "" {
		fmt.Fprintln(a.errOut, "receipt: "+oneLine(o.ReceiptID)+" (verified)")
	}
	if o.Hint != "" {
		fmt.Fprintln(a.errOut, "hint: "+oneLine(o.Hint))
	}
}

func oneLine(s string) string { return clean(strings.ReplaceAll(s, "\n", " ")) }

// describe finds an error's code and hint.
func describe(err error) errorOutput {
	o := errorOutput{Code: "failed", Message: err.Error()}
	var usage *usageError
	var h *hinted
	var v *client.VerificationError
	var e *client.APIError
	var argument *client.ArgumentError
	var config *configurationError
	switch {
	case errors.As(err, &config):
		o.Code = config.code
	case errors.As(err, &v):
		o.Code, o.Field, o.Reason = string(v.Code), v.Field, string(v.Reason)
		o.Hint = "nothing of this answer was used; the service, or who stands between, isn't what it should be"
	case errors.As(err, &e):
		o.Code, o.Message, o.RequestID = string(e.Code), e.Message, e.RequestID
		if e.Receipt != nil {
			o.ReceiptID = e.Receipt.ID
		}
		for _, s := range api.Specs() {
			if s.Code == e.Code {
				o.Hint = s.Help
			}
		}
	case errors.As(err, &usage):
		o.Code, o.Hint = "usage", usage.hint
	case errors.As(err, &argument):
		o.Code, o.Field = "usage", argument.Field
	case errors.Is(err, adminkey.ErrPassphrase):
		o.Hint = "the passphrase is taken from --passphrase-file, then $SIGIL_ADMIN_PASSPHRASE, then the terminal"
	}
	if errors.As(err, &h) {
		o.Hint = h.hint
	}
	return o
}

// table writes rows in aligned columns. A line's end in a cell would be a row
// of its own.
func table(rows [][]string) string {
	ends := strings.NewReplacer("\n", "\uFFFD", "\t", "\uFFFD")
	width := map[int]int{}
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	var b strings.Builder
	for n, r := range rows {
		if n > 0 {
			b.WriteByte('\n')
		}
		line := ""
		for i, c := range r {
			line += ends.Replace(c) + strings.Repeat(" ", width[i]-len([]rune(c))+2)
		}
		_, _ = io.WriteString(&b, strings.TrimRight(line, " "))
	}
	return b.String()
}
