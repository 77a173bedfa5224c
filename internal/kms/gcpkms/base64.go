package gcpkms

// Base64 (RFC 4648 section 4, padded) without table look-ups or branches that
// depend on the data: DEKs pass through here.

// within returns -1 if lo <= c <= hi, else 0. All three are small.
func within(c, lo, hi int) int { return ((lo - 1 - c) & (c - hi - 1)) >> 8 }

func digit(v int) byte {
	return byte(within(v, 0, 25)&(v+'A') | within(v, 26, 51)&(v-26+'a') | within(v, 52, 61)&(v-52+'0') |
		within(v, 62, 62)&'+' | within(v, 63, 63)&'/')
}

// value returns the six bits of a digit, -1 if it is none.
func value(c byte) int {
	x := int(c)
	// Each range adds its value + 1, so that nothing found is 0 - 1.
	return (within(x, 'A', 'Z')&(x-'A'+1) | within(x, 'a', 'z')&(x-'a'+27) | within(x, '0', '9')&(x-'0'+53) |
		within(x, '+', '+')&63 | within(x, '/', '/')&64) - 1
}

// appendBase64 appends the encoding of src, without growing dst beyond its
// capacity where that suffices.
func appendBase64(dst, src []byte) []byte {
	for ; len(src) >= 3; src = src[3:] {
		v := int(src[0])<<16 | int(src[1])<<8 | int(src[2])
		dst = append(dst, digit(v>>18), digit(v>>12&63), digit(v>>6&63), digit(v&63))
	}
	switch len(src) {
	case 1:
		v := int(src[0]) << 16
		dst = append(dst, digit(v>>18), digit(v>>12&63), '=', '=')
	case 2:
		v := int(src[0])<<16 | int(src[1])<<8
		dst = append(dst, digit(v>>18), digit(v>>12&63), digit(v>>6&63), '=')
	}
	return dst
}

// decodeBase64 decodes src into dst and returns the size. False: src is not
// the one encoding of any bytes, or dst is too short.
func decodeBase64(dst, src []byte) (int, bool) {
	if len(src) == 0 || len(src)%4 != 0 {
		return 0, len(src) == 0
	}
	pad := 0
	for pad < 2 && src[len(src)-1-pad] == '=' {
		pad++
	}
	size := len(src)/4*3 - pad
	if size > len(dst) {
		return 0, false
	}
	n, bad := 0, 0
	for i := 0; i < len(src); i += 4 {
		var v [4]int
		last := i+4 == len(src)
		for j := range v {
			if last && j >= 4-pad {
				continue
			}
			v[j] = value(src[i+j])
			bad |= v[j] // negative if any is
		}
		w := v[0]<<18 | v[1]<<12 | v[2]<<6 | v[3]
		for shift := 16; shift >= 0 && n < size; shift -= 8 {
			dst[n] = byte(w >> shift)
			n++
		}
		if last && pad > 0 && w&(1<<(8*pad)-1) != 0 {
			bad = -1 // unused bits are set: another encoding of the same bytes
		}
	}
	return n, bad >= 0
}
