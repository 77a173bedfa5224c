package main

import (
	"fmt"
	"io"
	"time"
)

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s, %s\n%s\n", r.Machine, r.Taken.Format(time.RFC3339), r.Server)
	fmt.Fprintln(w, "Machines are shared and noisy: read CPU and ratios, not times.")
	if len(r.Runs) > 0 {
		r.printSignatures(w)
		r.printStages(w)
		r.printFlush(w)
	}
	r.printOperations(w)
	for i := range r.Wallets {
		r.Wallets[i].print(w)
	}
}

// heading begins a table whose columns are engines by clients.
func heading(w io.Writer, title string) {
	fmt.Fprintf(w, "\n%s\n\n", title)
	fmt.Fprintf(w, "  %-38s %21s %21s\n", "", sqlite, postgres)
	fmt.Fprintf(w, "  %-38s %10s %10s %10s %10s\n", "", "1 client", "64 clients", "1 client", "64 clients")
}

// row prints a figure of each engine and number of clients.
func row(w io.Writer, name, format string, value func(engine string, clients int) float64) {
	fmt.Fprintf(w, "  %-38s", name)
	for _, engine := range []string{sqlite, postgres} {
		for _, clients := range []int{1, 64} {
			fmt.Fprintf(w, " %10s", fmt.Sprintf(format, value(engine, clients)))
		}
	}
	fmt.Fprintln(w)
}

func (r *report) printSignatures(w io.Writer) {
	heading(w, fmt.Sprintf("CPU per signature (secp256k1, EIP-191), receipts committed and flushed before the\nreply; medians of %d rounds in turns", r.Rounds))
	figure := func(name, format string, value func(*measurement) float64) {
		row(w, name, format, func(engine string, clients int) float64 { return value(r.run(engine, true, clients)) })
	}
	figure("control plane, us", "%.0f", func(m *measurement) float64 { return m.Server })
	figure("TEE workload, us", "%.0f", func(m *measurement) float64 { return m.TEE })
	figure("both, us", "%.0f", func(m *measurement) float64 { return m.Server + m.TEE })
	figure("database server, us", "%.0f", func(m *measurement) float64 { return m.Database })
	figure("all, us", "%.0f", (*measurement).all)
	figure("less verify, sign, self-verify, us", "%.0f", func(m *measurement) float64 { return m.Beyond })
	figure("  the same, as slow as under load", "%.0f", func(m *measurement) float64 { return m.BeyondBusy })
	figure("handler that only signs, us", "%.0f", func(m *measurement) float64 { return m.Baseline })
	figure("ratio of all to that handler", "%.1f", func(m *measurement) float64 { return m.all() / m.Baseline })
	figure("requests per second", "%.0f", func(m *measurement) float64 { return m.PerSecond })
	figure("latency p50, ms", "%.2f", func(m *measurement) float64 { return m.P50 })
	figure("latency p99, ms", "%.2f", func(m *measurement) float64 { return m.P99 })
	figure("requests per batch", "%.1f", func(m *measurement) float64 { return m.Flushes })
	fmt.Fprintf(w, "\n  SQLite runs inside the control plane. Signing runs inside secret.Do: %v\n", r.Stages.Protected)
}

// printStages takes the runs with 64 clients apart. What no stage accounts for
// is looking up objects, opening shares, policy, leaves and receipts, and what
// the runtime needs for all of it.
func (r *report) printStages(w io.Writer) {
	fmt.Fprintf(w, "\n  %-38s %10s %10s %10s\n  %-38s %10s %10s %10s\n", "stages at 64 clients, us", "alone", "all busy", "", "", "", sqlite, postgres)
	row := func(name string, alone float64, busy func(engine string) float64) {
		cell := ""
		if alone > 0 {
			cell = fmt.Sprintf("%.0f", alone)
		}
		fmt.Fprintf(w, "  %-38s %10s %10.0f %10.0f\n", name, cell, busy(sqlite), busy(postgres))
	}
	http := func(engine string) float64 { return r.run(engine, true, 64).Baseline - r.Busy.Sign }
	same := func(v float64) func(string) float64 { return func(string) float64 { return v } }
	row("HTTP and JSON (handler less sign)", 0, http)
	row("link, both ends", 0, func(e string) float64 { return r.Parts[e].Link })
	row("request verify", r.Stages.RequestVerify, same(r.Busy.RequestVerify))
	row("sign", r.Stages.Sign, same(r.Busy.Sign))
	row("self-verify", r.Stages.SelfVerify, same(r.Busy.SelfVerify))
	row("commit, flush shared", 0, func(e string) float64 { return r.Parts[e].Commit })
	row("  its part in the database server", 0, func(e string) float64 { return r.Parts[e].Database })
	row("everything else", 0, func(e string) float64 {
		p := r.Parts[e]
		return r.run(e, true, 64).BeyondBusy - http(e) - p.Link - p.Commit - p.Database
	})
}

// printFlush compares the same programs with their database on the disk and in
// memory.
func (r *report) printFlush(w io.Writer) {
	heading(w, "What the flush costs: the same programs and settings with the database's files on the\ndisk, and on a RAM disk ("+memory+"), where nothing outlives the machine; in turns")
	for _, f := range []struct {
		name, format string
		value        func(*measurement) float64
	}{
		{"signatures per second", "%.0f", func(m *measurement) float64 { return m.PerSecond }},
		{"latency p50, ms", "%.2f", func(m *measurement) float64 { return m.P50 }},
		{"CPU per signature, all, us", "%.0f", (*measurement).all},
	} {
		of := func(flushed bool) func(string, int) float64 {
			return func(engine string, clients int) float64 { return f.value(r.run(engine, flushed, clients)) }
		}
		row(w, f.name, f.format, of(true))
		row(w, "  on the RAM disk", f.format, of(false))
		row(w, "  ratio, flushed to not", "%.2f", func(engine string, clients int) float64 {
			return of(true)(engine, clients) / of(false)(engine, clients)
		})
	}
}

func (f *walletFigures) print(w io.Writer) {
	fmt.Fprintf(w, "\nOne of %d wallets, and one of %d, on %s: rows cloned in SQL, asked for in turns by the\nstore's methods and over HTTP. CPU is that of the database, and over HTTP of the control plane.\n", handful, f.Many, f.Engine)
	fmt.Fprintf(w, "%s; %.1f GB on disk, filled in %.0f s.\n\n", f.Settings, float64(f.Bytes)/1e9, f.Fill)
	fmt.Fprintf(w, "  %-34s %9s %9s %6s %9s %9s\n", "", "p50, us", "", "", "CPU, us", "")
	fmt.Fprintf(w, "  %-34s %9s %9s %6s %9s %9s\n", "", "few", "many", "ratio", "few", "many")
	for _, l := range f.Lookups {
		if l.Failed != "" {
			fmt.Fprintf(w, "  %-34s failed: %s\n", l.Name, l.Failed)
			continue
		}
		verdict := ""
		if l.Expected && l.Ratio > 1.1 {
			verdict = "  > 10 %"
		}
		fmt.Fprintf(w, "  %-34s %9.0f %9.0f %6.2f %9.0f %9.0f%s\n", l.Name, l.Few, l.Many, l.Ratio, l.FewCPU, l.ManyCPU, verdict)
	}
	fmt.Fprint(w, `
  A get is a way down trees, which with many rows have a level or two more. What is
  found again is in memory; one of all may be anywhere, on the disk too. Pages after a
  time and by label count what they find.
`)
}
