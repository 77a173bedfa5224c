package signing

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
)

// AddressKey is an address as wallets are found by it: hex in lower case,
// since its case is a checksum, and anything else as it is.
func AddressKey(address string) string {
	if strings.HasPrefix(address, "0x") || strings.HasPrefix(address, "0X") {
		return strings.ToLower(address)
	}
	return address
}

// address lists the wallet's addresses. A record that doesn't verify has none:
// it is shown to nobody either.
func (c *Committer) address(row *store.Wallet) {
	w, err := OpenWallet(row, c.networks)
	if err != nil {
		c.log.Error("the TEE made a wallet whose record doesn't verify", "wallet", row.ID.String(), "error", err)
		return
	}
	row.Addresses = w.addressKeys()
}

func (w *Wallet) addressKeys() []string {
	var keys []string
	for _, a := range w.Addresses {
		keys = append(keys, AddressKey(a))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// ListAddresses stores the addresses of wallets that an older program stored
// without them. It is done when it returns nil.
func (s *Service) ListAddresses(ctx context.Context) error {
	for {
		rows, err := s.store.Unaddressed(ctx, 500)
		if err != nil || len(rows) == 0 {
			return err
		}
		for i := range rows {
			w, err := OpenWallet(&rows[i], s.networks)
			if err != nil {
				// It gets no addresses for good, so it is looked at once more.
				row, err := s.store.Wallet(ctx, rows[i].Organization, rows[i].ID)
				if err != nil {
					return fmt.Errorf("list addresses: %w", err)
				}
				if w, err = OpenWallet(row, s.networks); err != nil {
					continue
				}
			}
			rows[i].Addresses = w.addressKeys()
		}
		if err := s.store.PutAddresses(ctx, rows); err != nil {
			return fmt.Errorf("list addresses: %w", err)
		}
	}
}

// ChangeWallet changes what people see of a wallet, and returns it as it is
// then. Nothing that the TEE looks at changes.
func (s *Service) ChangeWallet(ctx context.Context, org, id canon.UUID, c store.WalletChange) (*Wallet, error) {
	if err := s.store.SetWallet(ctx, org, id, c); err != nil {
		return nil, refuse(api.CodeStoreUnavailable, "the change couldn't be stored; send the same request again")
	}
	return s.FreshWallet(ctx, org, id)
}

// FreshWallet is Wallet, read again.
func (s *Service) FreshWallet(ctx context.Context, org, id canon.UUID) (*Wallet, error) {
	s.mu.Lock()
	if w := s.wallets[id]; w != nil && w.Organization == org {
		delete(s.wallets, id)
	}
	s.mu.Unlock()
	return s.Wallet(ctx, org, id)
}
