package client

import (
	"context"
	"encoding/hex"
	"sync"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/attest"
)

// maxCached bounds each cache in entries; a full one starts anew.
const maxCached = 4096

// lazy loads verified values once. Failures aren't kept.
type lazy[K comparable, V any] struct {
	load func(context.Context, K) (V, error)
	most int

	mu     sync.Mutex // guards values
	values map[K]V
}

func newLazy[K comparable, V any](most int, load func(context.Context, K) (V, error)) *lazy[K, V] {
	return &lazy[K, V]{load: load, most: most, values: map[K]V{}}
}

// get returns the value of a key, loading it if need be. Several callers may
// load the same one at the same time: all get a verified one.
func (l *lazy[K, V]) get(ctx context.Context, k K) (V, error) {
	l.mu.Lock()
	v, ok := l.values[k]
	l.mu.Unlock()
	if ok {
		return v, nil
	}
	v, err := l.load(ctx, k)
	if err != nil {
		var none V
		return none, err
	}
	l.put(k, v)
	return v, nil
}

func (l *lazy[K, V]) put(k K, v V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.values) >= l.most {
		clear(l.values)
	}
	l.values[k] = v
}

// evidenceCache keeps evidence by its statement's digest. It is verified at
// each use, for the instant in question; only its digest is checked here.
type evidenceCache struct {
	*lazy[[32]byte, attest.Evidence]
}

func newEvidenceCache(t *transport) *evidenceCache {
	return &evidenceCache{newLazy(maxCached, func(ctx context.Context, d [32]byte) (attest.Evidence, error) {
		var reply api.Attestation
		if _, err := t.exchange(ctx, nil, "GET", "/v1/attestation/"+hex.EncodeToString(d[:]), "", nil, &reply); err != nil {
			return attest.Evidence{}, err
		}
		ev := evidenceOf(reply.Evidence)
		_, err := openStatement(ev, d)
		return ev, err
	})}
}

// put keeps evidence that came with another reply.
func (c *evidenceCache) put(ev attest.Evidence) { c.lazy.put(ev.ID(), ev) }

func evidenceOf(e api.Evidence) attest.Evidence {
	return attest.Evidence{Statement: e.Statement, Token: e.Token}
}
