package bitcoin

import (
	"errors"
	"strings"
)

// The digits of BIP-173, and the checksum's constants: bech32 for witness
// version 0, bech32m (BIP-350) for all others.
const (
	charset      = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	bech32Const  = 1
	bech32mConst = 0x2bc830a3

	maxBech32  = 90
	maxProgram = 40
	maxWitness = 16 // version
)

// polymod is the checksum of BIP-173, continued from chk.
func polymod(chk uint32, values ...byte) uint32 {
	for _, v := range values {
		top := chk >> 25
		chk = (chk&0x1ffffff)<<5 ^ uint32(v)
		for i, g := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				chk ^= g
			}
		}
	}
	return chk
}

func polymodPrefix(hrp string) uint32 {
	chk := uint32(1)
	for i := range len(hrp) {
		chk = polymod(chk, hrp[i]>>5)
	}
	chk = polymod(chk, 0)
	for i := range len(hrp) {
		chk = polymod(chk, hrp[i]&31)
	}
	return chk
}

func checksumOf(version byte) uint32 {
	if version == 0 {
		return bech32Const
	}
	return bech32mConst
}

// encodeSegwit writes the address of a witness program.
func encodeSegwit(hrp string, version byte, program []byte) string {
	out := make([]byte, 0, maxBech32)
	out = append(out, hrp...)
	out = append(out, '1', charset[version])
	chk := polymod(polymodPrefix(hrp), version)
	acc, bits := 0, 0
	digit := func(d byte) {
		chk = polymod(chk, d)
		out = append(out, charset[d])
	}
	for _, b := range program {
		acc, bits = acc<<8|int(b), bits+8
		for bits >= 5 {
			bits -= 5
			digit(byte(acc >> bits & 31))
		}
	}
	if bits > 0 {
		digit(byte(acc << (5 - bits) & 31))
	}
	chk = polymod(chk, 0, 0, 0, 0, 0, 0) ^ checksumOf(version)
	for i := range 6 {
		out = append(out, charset[chk>>(5*(5-i))&31])
	}
	return string(out)
}

// decodeSegwit reads the address of a witness program, in lower case or in
// upper case.
func decodeSegwit(hrp, text string) (version byte, program []byte, err error) {
	if strings.ToUpper(text) == text {
		text = strings.ToLower(text)
	}
	digits, ok := strings.CutPrefix(text, hrp+"1")
	if !ok || len(text) > maxBech32 || len(digits) < 1+6 {
		return 0, nil, errors.New("not a bech32 address of the network")
	}
	chk, acc, bits := polymodPrefix(hrp), 0, 0
	for i := range len(digits) {
		d := strings.IndexByte(charset, digits[i])
		if d < 0 {
			return 0, nil, errors.New("not bech32")
		}
		chk = polymod(chk, byte(d))
		switch {
		case i == 0:
			version = byte(d)
		case i < len(digits)-6:
			if acc, bits = acc<<5|d, bits+5; bits >= 8 {
				bits -= 8
				program = append(program, byte(acc>>bits))
				acc &= 1<<bits - 1
			}
		}
	}
	switch {
	case chk != checksumOf(version):
		return 0, nil, errors.New("the address's checksum is wrong")
	case bits >= 5 || acc != 0:
		return 0, nil, errors.New("the address has stray bits")
	case version > maxWitness || len(program) < 2 || len(program) > maxProgram || version == 0 && len(program) != 20 && len(program) != 32:
		return 0, nil, errors.New("the address is of no witness program")
	}
	return version, program, nil
}
