package abi

import "bytes"

// Value is an argument as decoded. It is part of the data that it was decoded
// from.
type Value struct {
	// Bytes is the word of an elementary type, or the content of bytes and
	// string.
	Bytes []byte
	// Parts of a tuple or an array.
	Parts []Value
}

// Decode returns the arguments of a call of the function. It takes what
// Encodes takes.
func (f *Function) Decode(data []byte) (arguments []Value, ok bool) {
	if !bytes.HasPrefix(data, f.Selector[:]) {
		return nil, false
	}
	return f.Arguments(data[selectorSize:])
}

// Arguments is Decode of arguments that no selector stands before, as
// abi.encode makes them.
func (f *Function) Arguments(b []byte) (arguments []Value, ok bool) {
	if end, ok := sequence(b, f.inputs.parts); !ok || end != len(b) {
		return nil, false
	}
	arguments, _ = open(b, f.inputs.parts)
	return arguments, true
}

// open takes apart what sequence has checked, and returns where it ends.
func open(b []byte, parts []kind) (values []Value, end int) {
	values = make([]Value, len(parts))
	for i := range parts {
		end += max(1, parts[i].words) * wordSize
	}
	at := 0
	for i := range parts {
		if words := parts[i].words; words > 0 {
			values[i], _ = openValue(b[at:at+words*wordSize], &parts[i])
			at += words * wordSize
			continue
		}
		v, size := openValue(b[end:], &parts[i])
		values[i], end, at = v, end+size, at+wordSize
	}
	return values, end
}

// openValue takes apart what value has checked.
func openValue(b []byte, k *kind) (v Value, size int) {
	switch k.form {
	case formWord:
		return Value{Bytes: b[:wordSize]}, wordSize
	case formBytes, formText:
		n, _ := number(b[:wordSize])
		return Value{Bytes: b[wordSize : wordSize+n : wordSize+n]}, wordSize + (n+wordSize-1)/wordSize*wordSize
	case formTuple:
		v.Parts, size = open(b, k.parts)
		return v, size
	case formArray:
		n, _ := number(b[:wordSize])
		v.Parts, size = openItems(b[wordSize:], &k.parts[0], n)
		return v, size + wordSize
	}
	v.Parts, size = openItems(b, &k.parts[0], k.length)
	return v, size
}

// openItems takes apart what items has checked.
func openItems(b []byte, k *kind, n int) (values []Value, end int) {
	values = make([]Value, n)
	if k.words == 0 {
		end = n * wordSize
	}
	for i := range values {
		v, size := openValue(b[end:], k)
		values[i], end = v, end+size
	}
	return values, end
}
