package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/client"
)

func (a *app) auditCommand() *cobra.Command {
	g := a.group("audit", "See what was decided, and prove it", `The ledger is the log of all decisions of an organisation. The TEE signs its head and
never signs one that doesn't extend the last: keep checkpoints where the service's
operator can't change them, and a later ledger is proved to contain them.`)
	g.AddCommand(a.trailCommand(), a.exportLedgerCommand(), a.verifyLedgerCommand(), a.checkpointCommand())
	return g
}

func (a *app) exportLedgerCommand() *cobra.Command {
	var out string
	c := &cobra.Command{Use: "export", Short: "Export the ledger as JSON lines", Args: cobra.NoArgs,
		Long: `Fetches the whole ledger, verifies it entry by entry, and writes it as JSON lines
that 'sigil audit verify' verifies again, without a network and years later.`,
		Example: "  sigil audit export --out ledger-2026.jsonl --key-file backend.key",
		RunE: func(c *cobra.Command, _ []string) error {
			if out == "" {
				return usagef("as in --out ledger.jsonl", "--out is needed")
			}
			if err := absent(out); err != nil {
				return err
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			return a.exportLedger(c, cl, out)
		}}
	c.Flags().StringVar(&out, "out", "", "file to write")
	return c
}

// exportLedger writes beside the file, and gives it its name when it's whole.
func (a *app) exportLedger(c *cobra.Command, cl *client.Client, out string) error {
	f, err := os.OpenFile(out+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already where all went well
	w := bufio.NewWriter(f)
	note := a.progress()
	report, err := cl.ExportLedger(c.Context(), w, func(done, total uint64) { note("%d of %d entries", done, total) })
	if err = errors.Join(err, w.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	// Link, unlike Rename, replaces nothing that appeared meanwhile.
	if err := os.Link(f.Name(), out); err != nil {
		return err
	}
	return a.printAudit(report, [][]string{{"written", out}})
}

func (a *app) verifyLedgerCommand() *cobra.Command {
	var genesis, digest, receipts string
	var earlier []string
	c := &cobra.Command{Use: "verify [FILE|-]", Short: "Verify an exported ledger, offline", Args: cobra.MaximumNArgs(1),
		Long: `Verifies an exported ledger line by line, without a network: each receipt with the
attestation evidence behind it, the owner's grant that it was decided under, its place,
and that all of them together are what the checkpoint signs. The first line that is
wrong is named.

--receipts FILE has ids of receipts that were handed out, one a line: each must be in
the ledger, or its decision was hidden.

The genesis document that is trusted comes from --genesis, --genesis-digest or the
profile. Each --checkpoint FILE is one that was kept: the ledger must contain it.`,
		Example: "  sigil audit verify ledger-2026.jsonl --genesis acme/genesis.json --checkpoint june.note",
		RunE: func(_ *cobra.Command, args []string) error {
			trusted, err := a.trustedGenesis(genesis, digest)
			if err != nil {
				return err
			}
			notes := make([]string, len(earlier))
			for i, path := range earlier {
				b, err := read(path)
				if err != nil {
					return err
				}
				notes[i] = string(b)
			}
			var ids []string
			if receipts != "" {
				b, err := read(receipts)
				if err != nil {
					return err
				}
				ids = strings.Fields(string(b))
			}
			in := a.in
			if path := append(args, "-")[0]; path != "-" {
				f, err := os.Open(path)
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			audit := client.NewAudit(trusted, notes...)
			report, err := verifyLedger(in, audit)
			if err != nil {
				return err
			}
			if err := audit.Contains(ids...); err != nil {
				return err
			}
			return a.printAudit(report, nil)
		}}
	c.Flags().StringVar(&genesis, "genesis", "", "file with the genesis document that is trusted")
	c.Flags().StringVar(&digest, "genesis-digest", "", "digest of the genesis document that is trusted, hex")
	c.Flags().StringVar(&receipts, "receipts", "", "file with ids of receipts, one a line, that the ledger must contain")
	c.Flags().StringArrayVar(&earlier, "checkpoint", nil, "file with an earlier checkpoint that the ledger must contain")
	return c
}

// maxLedgerLine is more than the longest line that verifies: evidence.
const maxLedgerLine = 256 << 10

func verifyLedger(in io.Reader, audit *client.Audit) (*client.AuditReport, error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLedgerLine)
	for lines.Scan() {
		if err := audit.Line(lines.Bytes()); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	return audit.Finish()
}

func (a *app) printAudit(r *client.AuditReport, rows [][]string) error {
	const day = time.RFC3339
	rows = append(rows, [][]string{
		{"verified", strconv.FormatUint(r.Entries, 10) + " entries of organisation " + r.Organization},
		{"decisions", fmt.Sprintf("%d signatures, %d wallets, %d denied", r.Signed, r.Wallets, r.Denied)},
		{"from", r.First.Format(day)}, {"to", r.Last.Format(day)}, {"root", r.Root},
	}...)
	for _, i := range r.Instances {
		rows = append(rows, []string{"instance", fmt.Sprintf("%s…  batches %d to %d; not in this ledger: %d of them, and %d decisions in the others; release %s", i.InstanceKey[:16], i.First, i.Last, i.Missing, i.Others, i.Release)})
	}
	for _, size := range r.Extends {
		rows = append(rows, []string{"contains", fmt.Sprintf("the checkpoint of %d entries", size)})
	}
	return a.print(map[string]any{"verified": true, "ledger": r}, table(rows))
}

func (a *app) checkpointCommand() *cobra.Command {
	var out, extends, id string
	c := &cobra.Command{Use: "checkpoint", Short: "Get the ledger's signed head, and prove what it contains", Args: cobra.NoArgs,
		Long: `Fetches the newest checkpoint of the ledger and verifies its signature. --extends FILE
also proves that it contains an earlier one, --receipt ID that a receipt's decision is
in it. Keep checkpoints outside of the service's reach.`,
		Example: "  sigil audit checkpoint --extends june.note --out july.note --key-file backend.key",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := absent(out); err != nil {
				return err
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			h, err := cl.LedgerHead(c.Context())
			if err != nil {
				return err
			}
			result := map[string]any{"verified": true, "size": h.Size, "root": digestText(h.Root), "note": h.Note}
			rows := [][]string{{"size", strconv.FormatUint(h.Size, 10)}, {"root", digestText(h.Root)}}
			if extends != "" {
				old, err := read(extends)
				if err != nil {
					return err
				}
				if err := cl.Extends(c.Context(), h, string(old)); err != nil {
					return err
				}
				result["extends"] = extends
				rows = append(rows, []string{"extends", extends})
			}
			if id != "" {
				rc, err := cl.Receipt(c.Context(), id)
				if err != nil {
					return err
				}
				index, err := cl.Included(c.Context(), h, rc)
				if err != nil {
					return err
				}
				result["index"] = index
				rows = append(rows, []string{"receipt", fmt.Sprintf("%s is entry %d", id, index)})
			}
			if out != "" {
				if err := create(out, []byte(h.Note)); err != nil {
					return err
				}
				rows = append(rows, []string{"written", out})
			}
			return a.print(result, table(rows), strings.TrimSuffix("\n"+h.Note, "\n"))
		}}
	c.Flags().StringVar(&out, "out", "", "file to write the checkpoint to")
	c.Flags().StringVar(&extends, "extends", "", "file with an earlier checkpoint that it must contain")
	c.Flags().StringVar(&id, "receipt", "", "id of a receipt that it must contain")
	return c
}
