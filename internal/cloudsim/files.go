package cloudsim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

// ErrInUse is returned by Start when another process serves the folder.
var ErrInUse = errors.New("folder is in use by another local cloud")

var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// writeFile replaces a file durably: temporary file, fsync, rename, fsync of
// the folder. Readers see the old content or the new, also after power loss.
func writeFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil // the rename is done; the folder just can't be synced
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}

// loadOrMake reads a file, or makes its content and writes it.
func loadOrMake(path string, make func() ([]byte, error)) ([]byte, error) {
	data, err := os.ReadFile(path)
	if !errors.Is(err, os.ErrNotExist) {
		return data, err
	}
	if data, err = make(); err != nil {
		return nil, err
	}
	return data, writeFile(path, data)
}

// lockFolder takes the folder for this process until the file is closed.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "cloud.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cloudsim: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("cloudsim: %s: %w", dir, ErrInUse), f.Close())
	}
	return f, nil
}

// ShortPath returns another name of a socket's path that fits into the about
// 104 bytes that Unix socket addresses have: through a link in the temporary
// folder, which cleanup removes. A path that fits is returned as it is.
func ShortPath(path string) (short string, cleanup func(), err error) {
	const fits = 100
	if len(path) <= fits {
		return path, func() {}, nil
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	parent := os.TempDir()
	if len(parent)+len(filepath.Base(path))+24 > fits {
		parent = "/tmp"
	}
	tmp, err := os.MkdirTemp(parent, "sig")
	if err != nil {
		return "", nil, err
	}
	cleanup = func() { _ = os.RemoveAll(tmp) } // removes the link, not its target
	link := filepath.Join(tmp, "d")
	if err := os.Symlink(dir, link); err != nil {
		cleanup()
		return "", nil, err
	}
	return filepath.Join(link, filepath.Base(path)), cleanup, nil
}
