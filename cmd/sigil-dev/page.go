package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// page prints for people. Its rules: one thought a line, names in one column,
// nothing that a plain terminal can't show as well; colours only on a terminal
// and never with NO_COLOR set.
type page struct {
	w     io.Writer
	color bool
}

func newPage(w io.Writer) *page {
	f, ok := w.(*os.File)
	return &page{w: w, color: ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

const (
	bold  = "1"
	dim   = "2"
	green = "32"
)

func (p *page) paint(style, text string) string {
	if !p.color {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (p *page) line(text string)    { fmt.Fprintln(p.w, text) }
func (p *page) title(text string)   { fmt.Fprintln(p.w, p.paint(bold, text)) }
func (p *page) section(text string) { fmt.Fprintf(p.w, "\n%s\n", p.paint(bold, text)) }
func (p *page) row(name, value string) {
	fmt.Fprintf(p.w, "  %s%s\n", p.paint(dim, fmt.Sprintf("%-14s", name)), value)
}

func (p *page) check(name, value string) {
	fmt.Fprintf(p.w, "%s %s%s\n", p.paint(green, "✓"), p.paint(dim, fmt.Sprintf("%-14s", name)), value)
}

func (p *page) code(lines ...string) {
	for _, l := range lines {
		if l != "" {
			l = "    " + l
		}
		fmt.Fprintln(p.w, l)
	}
}

func (p *page) note(lines ...string) {
	fmt.Fprintln(p.w)
	for _, l := range lines {
		fmt.Fprintf(p.w, "  %s\n", p.paint(dim, l))
	}
}
