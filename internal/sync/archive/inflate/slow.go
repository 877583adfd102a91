package inflate

import "encoding/binary"

// decodeOne decodes one symbol bit by bit near the end of the input.
func (d *Reader) decodeOne() error {
	e, err := d.code(d.literals[:], literalIndex)
	switch {
	case err != nil:
		return err
	case e&literal != 0:
		binary.LittleEndian.PutUint16(d.out[d.written:], e.bytes())
		d.written += e.count()
		return nil
	case e&endOfBlock != 0 && e&special != 0:
		d.state = blockHeader
		return nil
	}
	length, err := d.withExtra(e)
	if err != nil {
		return err
	}
	if e, err = d.code(d.distances[:], distanceIndex); err != nil {
		return err
	}
	distance, err := d.withExtra(e)
	if err != nil {
		return err
	}
	if distance > d.written {
		return errFarDistance
	}
	copyMatch(&d.out, d.written, distance, length)
	d.written += length
	return nil
}

// code reads the next code, and no byte more than it needs. Its extra bits are
// left.
func (d *Reader) code(table []entry, index uint) (entry, error) {
	for {
		e, before := table[d.acc&(1<<index-1)], uint(0)
		if e&special != 0 && e&subTable != 0 {
			before = index
			e = table[e.value()+int(d.acc>>index&(1<<e.length()-1))]
		}
		// Without the code's last bits this is a guess, right if it needs no more.
		switch length := before + e.length(); {
		case e&special != 0 && e&endOfBlock == 0:
			if d.n >= maxCode {
				return 0, errSymbol
			}
		case length <= d.n:
			d.take(length)
			return e, nil
		}
		if err := d.need(d.n + 1); err != nil {
			return 0, err
		}
	}
}

// withExtra reads the extra bits of a length or distance.
func (d *Reader) withExtra(e entry) (int, error) {
	extra := e.drop() - e.length()
	if err := d.need(extra); err != nil {
		return 0, err
	}
	return e.value() + d.take(extra), nil
}
