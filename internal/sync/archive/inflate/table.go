package inflate

import "math/bits"

// An entry says what the code that led to it in a table means:
//
//	bits 0 to 5    how many bits to drop: the code and its extra bits
//	bits 8 to 12   the length of the code alone
//	bit  13        with special: the code ends the block
//	bit  14        with special: the code is longer than the table's index, and
//	               the value is where its sub-table begins;
//	               with literal: there are two codes, and bits 24 to 30 are the
//	               second one's byte
//	bit  15        special; neither of those two: there is no such code
//	bits 16 to 30  the value: a byte, the base of a length or a distance
//	bit  31        the value is a literal byte
//
// In a sub-table the bits of the index before it do not count.
type entry uint32

const (
	endOfBlock entry = 1 << 13
	subTable   entry = 1 << 14
	second     entry = 1 << 14
	special    entry = 1 << 15
	literal    entry = 1 << 31

	invalid = special // no code leads here, or one that must not occur
)

func (e entry) drop() uint   { return uint(e & 63) }
func (e entry) length() uint { return uint(e>>8) & 31 }
func (e entry) value() int   { return int(e>>16) & 0x7fff }

// bytes are the literal byte and the one behind it; count tells how many count.
func (e entry) bytes() uint16 { return uint16(e>>16) & 0x7fff }
func (e entry) count() int    { return 1 + int(e>>14)&1 }

// extra takes the extra bits that follow the code from the bits that begin
// with it.
func (e entry) extra(acc uint64) int {
	return int(acc & (1<<e.drop() - 1) >> e.length())
}

const (
	maxCode = 15 // bits of the longest code

	// Bits of the first index of each table. Longer codes take a second look.
	literalIndex  = 11
	distanceIndex = 8
	lengthIndex   = 7 // of the code for code lengths, none of which is longer

	// A sub-table has an entry for all that can follow; at least two codes begin
	// with what leads to it.
	literalTable  = 1<<literalIndex + 286/2<<(maxCode-literalIndex)
	distanceTable = 1<<distanceIndex + 30/2<<(maxCode-distanceIndex)
)

// What symbols mean (RFC 1951, section 3.2.5): entries without the code, to
// which its length has to be added.
var (
	literalSymbols  = makeLiteralSymbols()
	distanceSymbols = makeDistanceSymbols()
	lengthSymbols   = makeLengthSymbols()
)

func makeLiteralSymbols() (s [288]entry) {
	for n := range 256 {
		s[n] = literal | entry(n)<<16
	}
	s[256] = special | endOfBlock
	base := 3
	for n := range 28 {
		extra := max(n/4-1, 0)
		s[257+n] = entry(base)<<16 | entry(extra)
		base += 1 << extra
	}
	s[285] = 258 << 16
	s[286], s[287] = invalid, invalid
	return s
}

func makeDistanceSymbols() (s [32]entry) {
	base := 1
	for n := range 30 {
		extra := max(n/2-1, 0)
		s[n] = entry(base)<<16 | entry(extra)
		base += 1 << extra
	}
	s[30], s[31] = invalid, invalid
	return s
}

func makeLengthSymbols() (s [19]entry) {
	for n := range s {
		s[n] = entry(n) << 16
	}
	return s
}

// build fills a table for the code in which symbol n has lengths[n] bits. It
// reports false for what no code is: too many codes, or too few, but for a
// single one of one bit. Where empty is set, there may be none at all.
func build(table []entry, index uint, lengths []uint8, symbols []entry, empty bool) bool {
	var count [maxCode + 1]int
	for _, l := range lengths {
		count[l]++
	}
	longest, left := uint(0), 1<<maxCode
	var next [maxCode + 2]uint16 // codes of each length, in the order of their symbols (section 3.2.2)
	for l := uint(1); l <= maxCode; l++ {
		if count[l] > 0 {
			longest = l
		}
		left -= count[l] << (maxCode - l)
		next[l+1] = (next[l] + uint16(count[l])) << 1
	}
	if left < 0 || left > 0 && longest != 1 && !(longest == 0 && empty) {
		return false
	}
	first := table[:1<<index]
	clear(first)
	if left > 0 {
		for n := range first {
			first[n] = invalid
		}
	}
	free := len(first)                   // where the next sub-table begins
	width := max(longest, index) - index // of the index of sub-tables
	for symbol, l8 := range lengths {
		l := uint(l8)
		if l == 0 {
			continue
		}
		code := int(bits.Reverse16(next[l]) >> (16 - l)) // its first bit is the lowest of the stream
		next[l]++
		if l <= index {
			e := symbols[symbol] + entry(l<<8|l)
			for n := code; n < len(first); n += 1 << l {
				first[n] = e
			}
			continue
		}
		at := &first[code&(len(first)-1)]
		if *at == 0 {
			*at = special | subTable | entry(free)<<16 | entry(width<<8|index)
			free += 1 << width
		}
		rest := l - index
		sub := table[at.value():][:1<<width]
		e := symbols[symbol] + entry(rest<<8|rest)
		for n := code >> index; n < len(sub); n += 1 << rest {
			sub[n] = e
		}
	}
	return true
}

// pairLiterals has a table of literals decode two at once where both codes fit
// into its index, and the second byte into 7 bits: most of ASCII text that is not
// in matches.
func pairLiterals(first *[1 << literalIndex]entry) {
	// From the end, since what is behind a code stands earlier: single still.
	for n := len(first) - 1; n >= 0; n-- {
		e := first[n]
		if e&literal == 0 {
			continue
		}
		next := first[n>>e.drop()]
		if both := e.drop() + next.drop(); next&literal != 0 && both <= literalIndex && next.value() < 128 {
			first[n] = literal | second | entry(next.value())<<24 | entry(e.value()&255)<<16 | entry(both<<8|both)
		}
	}
}
