package inflate

import "encoding/binary"

// fastInput is how many bytes of input one round of decodeFast may look at.
const fastInput = 16

// decodeFast decodes symbols as long as neither input nor room need to be looked
// at within a round. It tells how many bytes of the input it has used.
func (d *Reader) decodeFast(in []byte) (used int, err error) {
	literals, distances, out := &d.literals, &d.distances, &d.out
	acc, n, w := d.acc, d.n, d.written
	at := 0
	for at <= len(in)-fastInput && w < lastSlot {
		// Eight bytes are ored in, of which as many count as fit: those that do not
		// come again, at the same place, with the next eight.
		acc |= binary.LittleEndian.Uint64(in[at:]) << (n & 63)
		at += int(63-n) >> 3
		n |= 56
		e := literals[acc&(1<<literalIndex-1)]
		if e&literal != 0 {
			// Three short codes leave enough for a length: 56 - 3·11 ≥ 15 + 5.
			acc, n = acc>>e.drop(), n-e.drop()
			binary.LittleEndian.PutUint16(out[w:], e.bytes())
			w += e.count()
			if e = literals[acc&(1<<literalIndex-1)]; e&literal != 0 {
				acc, n = acc>>e.drop(), n-e.drop()
				binary.LittleEndian.PutUint16(out[w:], e.bytes())
				w += e.count()
				if e = literals[acc&(1<<literalIndex-1)]; e&literal != 0 {
					acc, n = acc>>e.drop(), n-e.drop()
					binary.LittleEndian.PutUint16(out[w:], e.bytes())
					w += e.count()
					continue
				}
			}
		}
		if e&special != 0 {
			if e&subTable != 0 {
				acc, n = acc>>literalIndex, n-literalIndex
				e = literals[e.value()+int(acc&(1<<e.length()-1))]
			}
			if e&literal != 0 {
				acc, n = acc>>e.drop(), n-e.drop()
				binary.LittleEndian.PutUint16(out[w:], e.bytes())
				w += e.count()
				continue
			}
			if e&special != 0 {
				if e&endOfBlock == 0 {
					err = errSymbol
				} else {
					acc, n = acc>>e.drop(), n-e.drop()
					d.state = blockHeader
				}
				break
			}
		}
		length := e.value() + e.extra(acc)
		acc, n = acc>>e.drop(), n-e.drop()

		acc |= binary.LittleEndian.Uint64(in[at:]) << (n & 63)
		at += int(63-n) >> 3
		n |= 56
		e = distances[acc&(1<<distanceIndex-1)]
		if e&special != 0 {
			if e&subTable != 0 {
				acc, n = acc>>distanceIndex, n-distanceIndex
				e = distances[e.value()+int(acc&(1<<e.length()-1))]
			}
			if e&special != 0 {
				err = errSymbol
				break
			}
		}
		distance := e.value() + e.extra(acc)
		acc, n = acc>>e.drop(), n-e.drop()
		if distance > w {
			err = errFarDistance
			break
		}
		copyMatch(out, w, distance, length)
		w += length
	}
	// Whole bytes that are not used go back, so that what follows the stream is
	// left alone.
	at -= int(n >> 3)
	n &= 7
	d.acc, d.n, d.written = acc&(1<<n-1), n, w
	return at, err
}

// copyMatch repeats length bytes from distance before w, eight at a time: past
// the end it writes what will be overwritten. Bytes that are not yet there at the
// beginning (a distance of less than eight) are there when their turn comes.
func copyMatch(out *[outSize]byte, w, distance, length int) {
	step := min(distance, 8)
	from, to := out[w-distance:], out[w:]
	for n := 0; n < length; n += step {
		binary.LittleEndian.PutUint64(to[n:], binary.LittleEndian.Uint64(from[n:]))
	}
}
