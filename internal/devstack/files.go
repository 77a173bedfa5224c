package devstack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// state is what stack.json holds: what a later start in the folder uses again.
type state struct {
	Format  string `json:"format"`
	APIPort int    `json:"api_port"`
	TEEPort int    `json:"tee_port"`
	Image   string `json:"image"` // digest of the image that the organisation accepts

	// What the owner keeps of the organisation; empty until it is made.
	Genesis    []byte `json:"genesis,omitempty"`     // DSSE envelope
	StateKey   string `json:"state_key,omitempty"`   // hex, verified
	KeyID      string `json:"key_id,omitempty"`      // of the key in secret-key, once registered
	KeyExpires int64  `json:"key_expires,omitempty"` // unix seconds
	WalletID   string `json:"wallet_id,omitempty"`
}

const stateFormat = "sigil.dev-stack.v1"

func loadState(path string) (state, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return state{Format: stateFormat}, nil
	}
	if err != nil {
		return state{}, err
	}
	var st state
	if err := json.Unmarshal(data, &st); err != nil || st.Format != stateFormat {
		return state{}, fmt.Errorf("%s isn't a stack of this version: give a new folder", path)
	}
	return st, nil
}

func (st *state) save(path string) error { return writeJSON(path, st) }

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(data, '\n'), 0o600)
}

func writeFile(path string, data []byte, mode os.FileMode) error {
	return replaceFile(path, mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// replaceFile writes a file durably and at once: readers see the old content
// or the new.
func replaceFile(path string, mode os.FileMode, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	err = errors.Join(write(f), f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// lockFile takes a file for this process, until it is closed or the process
// ends in whatever way.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, err
	}
	return f, nil
}
