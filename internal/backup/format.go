package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store/sqlrows"
)

// Format names the format of a backup's file:
//
//	"sigil/backup/v1\n"
//	u32 length, header: canonical JSON
//	for each table of the header: for each row, in order of the table's key:
//	    u32 length (not 0), row: its columns as the header lists them
//	    u32 0
//	u32 length, trailer: canonical JSON
//	SHA-256 of everything before it
//
// In a row an integer is a u64 (two's complement), all else is bytes; a column
// that may be NULL begins with u8 0 (and has nothing more) or 1. A table's
// digest in the trailer is over the lengths and rows of the table, the 0 after them too.
const Format = "sigil.backup.v1"

const (
	magic    = "sigil/backup/v1\n"
	maxJSON  = 64 << 10
	maxRow   = 32 << 20
	fileSum  = sha256.Size
	progress = 1 << 14 // rows between two words of progress
)

type header struct {
	Format  string      `json:"format"`
	Created time.Time   `json:"created"`
	Engine  string      `json:"engine"`
	Schema  int64       `json:"schema"` // version of the tables, of that engine
	Program string      `json:"program"`
	Tables  []tableHead `json:"tables"`
}

type tableHead struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
}

type trailer struct {
	Tables []Table `json:"tables"`
}

// Table says what a backup has of one table.
type Table struct {
	Name   string `json:"name"`
	Rows   uint64 `json:"rows"`
	SHA256 string `json:"sha256"`
}

// Manifest says what a backup is.
type Manifest struct {
	Format  string    `json:"format"`
	Created time.Time `json:"created"` // everything that was acknowledged before is in it
	Engine  string    `json:"engine"`
	Schema  int64     `json:"schema"`
	Program string    `json:"program"`
	Tables  []Table   `json:"tables"`
	Bytes   uint64    `json:"bytes"`
	SHA256  string    `json:"sha256"` // of the file
}

// Rows is the number of rows of a table.
func (m *Manifest) Rows(table string) uint64 {
	for _, t := range m.Tables {
		if t.Name == table {
			return t.Rows
		}
	}
	return 0
}

// writer writes and hashes. Its first error sticks.
type writer struct {
	w    *bufio.Writer
	all  hash.Hash
	part hash.Hash // of the table
	n    uint64
	err  error
}

func (w *writer) put(b []byte) {
	if w.err != nil {
		return
	}
	_, w.err = w.w.Write(b)
	w.all.Write(b)
	w.part.Write(b)
	w.n += uint64(len(b))
}

// record writes a length and that many bytes.
func (w *writer) record(b []byte) {
	w.put(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
	w.put(b)
}

// json writes a document and returns it.
func (w *writer) json(v any) {
	b, err := canon.EncodeJSON(v)
	if err == nil && len(b) > maxJSON {
		err = errors.New("too long a manifest")
	}
	if w.err == nil {
		w.err = err
	}
	w.record(b)
}

// dump writes all tables as the reader sees them: in one transaction, if it is
// to be of one moment.
func dump(ctx context.Context, from sqlrows.SQL, to io.Writer, h header, opt *Options) (*Manifest, error) {
	if err := checkCatalog(ctx, from, h.Engine); err != nil {
		return nil, err
	}
	fileHash := sha256.New()
	w := &writer{w: bufio.NewWriterSize(io.MultiWriter(to, fileHash), 1<<20), all: sha256.New(), part: sha256.New()}
	w.put([]byte(magic))
	for _, t := range tables() {
		h.Tables = append(h.Tables, tableHead{t.name, t.names()})
	}
	w.json(&h)
	m := &Manifest{Format: h.Format, Created: h.Created, Engine: h.Engine, Schema: h.Schema, Program: h.Program}
	for _, t := range tables() {
		w.part.Reset()
		n, err := w.table(ctx, from, &t, opt)
		if err != nil {
			return nil, fmt.Errorf("back up table %s: %w", t.name, err)
		}
		w.put(make([]byte, 4))
		m.Tables = append(m.Tables, Table{t.name, n, hex.EncodeToString(w.part.Sum(nil))})
	}
	w.json(&trailer{m.Tables})
	w.put(w.all.Sum(nil))
	if err := errors.Join(w.err, w.w.Flush()); err != nil {
		return nil, fmt.Errorf("write the backup: %w", err)
	}
	m.Bytes, m.SHA256 = w.n, hex.EncodeToString(fileHash.Sum(nil))
	return m, nil
}

func (w *writer) table(ctx context.Context, from sqlrows.SQL, t *table, opt *Options) (n uint64, err error) {
	rows, err := from.QueryContext(ctx, t.selectAll())
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	values, targets := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range values {
		targets[i] = &values[i]
	}
	for ; rows.Next(); n++ {
		if err := rows.Scan(targets...); err != nil {
			return 0, err
		}
		row, err := t.encode(values)
		if err != nil {
			return 0, fmt.Errorf("row %d: %w", n, err)
		}
		if w.record(row); w.err != nil {
			return 0, w.err
		}
		if n%progress == progress-1 {
			opt.progress("rows of "+t.name, n+1)
		}
	}
	return n, rows.Err()
}

// sink takes what read reads.
type sink interface {
	// table begins a table, of which the file has these columns.
	table(t *table, columns []column) error
	// row has the columns' values: int64, string, []byte or nil.
	row(values []any) error
	// end follows the last row.
	end() error
}

type nothing struct{}

func (nothing) table(*table, []column) error { return nil }
func (nothing) row([]any) error              { return nil }
func (nothing) end() error                   { return nil }

// reader reads and hashes. Its first error sticks.
type reader struct {
	r    *bufio.Reader
	all  hash.Hash
	part hash.Hash
	n    uint64
	err  error
	buf  []byte
}

// take returns the next n bytes, until the next call.
func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if cap(r.buf) < n {
		r.buf = make([]byte, n)
	}
	b := r.buf[:n]
	if _, err := io.ReadFull(r.r, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = invalid("the file is cut off after %d bytes, or isn't a backup", r.n)
		}
		r.err = err
		return nil
	}
	r.all.Write(b)
	r.part.Write(b)
	r.n += uint64(n)
	return b
}

// record reads a length and that many bytes.
func (r *reader) record(limit uint32) []byte {
	b := r.take(4)
	if r.err != nil {
		return nil
	}
	n := binary.BigEndian.Uint32(b)
	if n > limit {
		r.err = invalid("a length of %d at byte %d, at most %d can be", n, r.n, limit)
		return nil
	}
	return r.take(int(n))
}

func (r *reader) json(v any) {
	b := r.record(maxJSON)
	if r.err == nil {
		if err := canon.DecodeJSON(b, v); err != nil {
			r.err = invalid("manifest: %w", err)
		}
	}
}

// read reads a backup to its last byte. Errors of the sink are returned as
// they are; all that is wrong with the file wraps ErrInvalid.
func read(from io.Reader, to sink) (*Manifest, error) {
	fileHash := sha256.New()
	r := &reader{r: bufio.NewReaderSize(io.TeeReader(from, fileHash), 1<<20), all: sha256.New(), part: sha256.New()}
	if b := r.take(len(magic)); r.err == nil && string(b) != magic {
		return nil, invalid("the file doesn't begin with %q: another format, or a newer program's", magic)
	}
	var h header
	if r.json(&h); r.err != nil {
		return nil, r.err
	}
	layouts, err := layout(&h)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Format: h.Format, Created: h.Created, Engine: h.Engine, Schema: h.Schema, Program: h.Program}
	for i := range layouts {
		t, err := r.readTable(&layouts[i], to)
		if err != nil {
			return nil, err
		}
		m.Tables = append(m.Tables, *t)
	}
	if err := r.finish(m); err != nil {
		return nil, err
	}
	m.Bytes, m.SHA256 = r.n, hex.EncodeToString(fileHash.Sum(nil))
	return m, to.end()
}

// finish reads what follows the tables, and compares.
func (r *reader) finish(m *Manifest) error {
	var end trailer
	r.json(&end)
	want := r.all.Sum(nil)
	sum := r.take(fileSum)
	if r.err != nil {
		return r.err
	}
	if string(sum) != string(want) {
		return invalid("its digest is another one: the file was damaged or altered")
	}
	if len(end.Tables) != len(m.Tables) {
		return invalid("the manifest has another number of tables")
	}
	for i, t := range m.Tables {
		if end.Tables[i] != t {
			return invalid("table %s has %d rows with digest %s, the manifest says otherwise", t.Name, t.Rows, t.SHA256)
		}
	}
	switch _, err := r.r.ReadByte(); {
	case err == nil:
		return invalid("something follows its end")
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

func (r *reader) readTable(l *tableLayout, to sink) (*Table, error) {
	if err := to.table(l.table, l.columns); err != nil {
		return nil, err
	}
	r.part.Reset()
	for n := uint64(0); ; n++ {
		row := r.record(maxRow)
		switch {
		case r.err != nil:
			return nil, r.err
		case len(row) == 0:
			return &Table{l.table.name, n, hex.EncodeToString(r.part.Sum(nil))}, nil
		}
		values, err := l.decode(row)
		if err != nil {
			return nil, invalid("table %s, row %d: %w", l.table.name, n, err)
		}
		if err := to.row(values); err != nil {
			return nil, fmt.Errorf("table %s, row %d: %w", l.table.name, n, err)
		}
	}
}
