package ledger

// Canaries take defences away; tests must notice.

// Frail lets what is wrong with one ledger stop all.
func (s *Sequencer) Frail() { s.frail = true }

// Short looks at the first ledgers alone.
func (s *Sequencer) Short() { s.short = true }

// Stubborn tries as much as before after a timeout.
func (s *Sequencer) Stubborn() { s.stubborn = true }
