package workload

import (
	"errors"
	"sync"
	"time"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
)

// madeWallets remembers the wallets that this instance made for as long as
// their requests can be repeated: the same request gets the same wallet. Two
// certified wallets of one id would let a host show one address and sign with
// another. What is kept is sealed.
type madeWallets struct {
	mu   sync.Mutex // guards byID
	byID map[canon.UUID]*madeWallet
}

type madeWallet struct {
	until        time.Time
	done         chan struct{} // closed when the fields below are set
	record, cert []byte
	err          error
}

// maxMade bounds the memory: 3 KB each.
const maxMade = 1 << 14

// once makes a wallet unless one of that id was made or is being made.
func (m *madeWallets) once(id canon.UUID, now time.Time, create func() (record, cert []byte, err error)) (*madeWallet, error) {
	m.mu.Lock()
	if w := m.byID[id]; w != nil {
		m.mu.Unlock()
		<-w.done // bounded by the deadline of the request that makes it
		return w, w.err
	}
	if len(m.byID)%256 == 255 {
		m.forget(now)
	}
	if len(m.byID) >= maxMade {
		m.mu.Unlock()
		return nil, remote("overloaded", "more than %d wallets were made in two minutes; wait a little", maxMade)
	}
	// A request is taken from 60 s before its created to 60 s after it.
	w := &madeWallet{until: now.Add(2*authority.ClockSkew + time.Second), done: make(chan struct{})}
	m.byID[id] = w
	m.mu.Unlock()

	w.err = errNotMade // stands if create panics
	defer func() {
		if w.err != nil {
			m.mu.Lock()
			delete(m.byID, id) // nothing was released: the request may try again
			m.mu.Unlock()
		}
		close(w.done)
	}()
	w.record, w.cert, w.err = create()
	return w, w.err
}

var errNotMade = errors.New("the wallet wasn't made")

// forget drops what can't be repeated any more; the caller holds the lock.
func (m *madeWallets) forget(now time.Time) {
	for id, w := range m.byID {
		if now.After(w.until) {
			delete(m.byID, id)
		}
	}
}
