// Memscan looks for secrets in the memory of a running process.
//
//	go run ./test/memscan -pid 123 -secrets secrets.txt
//
// Each line of the file is a label and 64 hex digits. It prints each copy and
// where it is, and exits with 1 if there is any.
package main

import (
	"bufio"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sigilkeys/sigil/test/memscan/scan"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit status: 0 clean, 1 secrets found, 2 not scanned.
func run(args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("memscan", flag.ContinueOnError)
	fs.SetOutput(stderr)
	pid := fs.Int("pid", 0, "process to scan")
	file := fs.String("secrets", "", "file of secrets, one `label hex` a line")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	report, err := scanFile(*pid, *file)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "memscan:", err)
		return 2
	}
	for _, h := range report.Hits {
		_, _ = fmt.Fprintln(stdout, h)
	}
	_, _ = fmt.Fprintf(stdout, "%d copies in %d MiB\n", len(report.Hits), report.Bytes>>20)
	if len(report.Hits) > 0 {
		return 1
	}
	return 0
}

func scanFile(pid int, file string) (*scan.Report, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	secrets, err := readSecrets(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	s, err := scan.New(secrets)
	if err != nil {
		return nil, err
	}
	return s.Process(pid)
}

func readSecrets(r io.Reader) ([]scan.Secret, error) {
	var out []scan.Secret
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) != 2 {
			return nil, fmt.Errorf("line %d isn't a label and hex digits", n)
		}
		b, err := hex.DecodeString(fields[1])
		if err != nil {
			return nil, fmt.Errorf("line %d isn't hex", n) // the error would quote the secret
		}
		out = append(out, scan.Secret{Label: fields[0], Bytes: b})
	}
	if len(out) == 0 && lines.Err() == nil {
		return nil, io.ErrUnexpectedEOF
	}
	return out, lines.Err()
}
