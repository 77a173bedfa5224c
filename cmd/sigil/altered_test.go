package main

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/store/sqlitestore"
)

// Decisions that somebody altered in the database are refused by name, to an
// export and to who asks for the receipt.
func TestAlteredDecisions(t *testing.T) {
	s := newAuditScene(t)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.data, sqlitestore.FileName)+"?_pragma=busy_timeout(60000)")
	check(t, err)
	defer db.Close()
	for _, c := range []struct{ alter, mend string }{
		{`UPDATE decisions SET leaf = CAST(leaf || x'00' AS BLOB)`, `UPDATE decisions SET leaf = substr(leaf, 1, length(leaf) - 1)`},
		{`UPDATE decisions SET idx = idx - 1`, `UPDATE decisions SET idx = idx + 1`},
		{`UPDATE batches SET signed = CAST(x'00' || signed AS BLOB)`, `UPDATE batches SET signed = substr(signed, 2)`},
	} {
		_, err := s.c.Receipt(t.Context(), s.last.Receipt.ID)
		check(t, err)
		_, err = db.Exec(c.alter)
		check(t, err)
		var refused *client.APIError
		if _, err := s.c.Receipt(t.Context(), s.last.Receipt.ID); !errors.As(err, &refused) || refused.Code != api.CodeObjectInvalid || refused.Status != 422 {
			t.Errorf("%s: %v", c.alter, err)
		}
		if code, out, errOut := s.run(append(s.base, "export", "--out", s.path("altered.jsonl"), "--json")...); code != exitFailure || out != "" || !strings.Contains(errOut, `"code":"object_invalid"`) {
			t.Errorf("%s: exit %d: %s%s", c.alter, code, out, errOut)
		}
		_, err = db.Exec(c.mend)
		check(t, err)
	}
}
