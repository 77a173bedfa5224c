package backup

import (
	"fmt"
	"time"
)

// Meaning says what it means for state that a database was restored: sentences
// for whoever did it, of which each is something to do or to know.
func Meaning(m *Manifest, r *Report) []string {
	at := m.Created.Format(time.RFC3339)
	lines := []string{
		"everything that was acknowledged before " + at + " is there; what came later is lost, although it was acknowledged",
		"revocations later than " + at + " are gone: keys that were revoked since then sign again until you send each revocation again",
		"wallets made later than " + at + " are gone, and their keys with them: the shares were in the lost rows alone. What such a wallet holds can't be moved any more",
		"request ids and Idempotency-Keys used later than " + at + " are forgotten: a client that repeats such a request gets it decided, and signed, a second time",
		"receipts handed out later than " + at + " verify, but the ledger doesn't hold their decisions; ask their holders",
		"restart the TEE workload: an instance that signed newer ledger heads refuses to sign older ones, and the log says so until then",
		"checkpoints of the ledger kept since " + at + " will not be part of it: auditors see a fork, and they are right. Tell them which entry it went on from",
	}
	unwitnessed := 0
	for _, o := range r.Organizations {
		if o.Freshness == "unwitnessed" {
			unwitnessed++
		}
		if o.Ledger > 0 {
			lines = append(lines, fmt.Sprintf("the ledger of organisation %s goes on from entry %d, root %s", o.ID, o.Ledger, o.Root))
		}
	}
	if unwitnessed > 0 {
		lines = append(lines, fmt.Sprintf("%d of %d organisations are unwitnessed: nobody but you and the holders of receipts and checkpoints can tell that the database went back", unwitnessed, len(r.Organizations)))
	}
	return lines
}

// Holds says what whoever has the file has.
func Holds() string {
	return "the file holds sealed shares, signed documents and decisions: no key and no token. A thief can't sign, but reads who signed what, when and with which wallet; keep it as you keep the database"
}
