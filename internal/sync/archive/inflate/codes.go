package inflate

// fixedCodes sets the codes that a block need not bring (section 3.2.6).
func (d *Reader) fixedCodes() {
	lengths := d.lengths[:288]
	for n := range lengths {
		switch {
		case n < 144:
			lengths[n] = 8
		case n < 256:
			lengths[n] = 9
		case n < 280:
			lengths[n] = 7
		default:
			lengths[n] = 8
		}
	}
	build(d.literals[:], literalIndex, lengths, literalSymbols[:], false)
	pairLiterals((*[1 << literalIndex]entry)(d.literals[:]))
	for n := range 32 {
		lengths[n] = 5
	}
	build(d.distances[:], distanceIndex, lengths[:32], distanceSymbols[:], false)
}

// lengthOrder is the order in which the lengths of the code for code lengths
// come: the often unused ones last.
var lengthOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamicCodes reads a block's own codes (section 3.2.7).
func (d *Reader) dynamicCodes() error {
	if err := d.need(14); err != nil {
		return err
	}
	literals, distances, ordered := 257+d.take(5), 1+d.take(5), 4+d.take(4)
	if literals > 286 || distances > 30 {
		return errCode
	}
	var own [19]uint8
	for _, n := range lengthOrder[:ordered] {
		if err := d.need(3); err != nil {
			return err
		}
		own[n] = uint8(d.take(3))
	}
	var table [1 << lengthIndex]entry
	if !build(table[:], lengthIndex, own[:], lengthSymbols[:], false) {
		return errCode
	}
	total := literals + distances
	for n := 0; n < total; {
		e, err := d.code(table[:], lengthIndex)
		if err != nil {
			return err
		}
		value, times := uint8(e.value()), 1
		switch e.value() {
		case 16:
			if n == 0 {
				return errCode
			}
			value = d.lengths[n-1]
			times, err = d.repeat(3, 2)
		case 17:
			value = 0
			times, err = d.repeat(3, 3)
		case 18:
			value = 0
			times, err = d.repeat(11, 7)
		}
		if err != nil {
			return err
		}
		if n+times > total {
			return errCode
		}
		for range times {
			d.lengths[n] = value
			n++
		}
	}
	if d.lengths[256] == 0 || // a block that could not end
		!build(d.literals[:], literalIndex, d.lengths[:literals], literalSymbols[:], false) ||
		!build(d.distances[:], distanceIndex, d.lengths[literals:total], distanceSymbols[:], true) {
		return errCode
	}
	pairLiterals((*[1 << literalIndex]entry)(d.literals[:]))
	return nil
}

// repeat reads how often a code length is to be repeated.
func (d *Reader) repeat(least int, extra uint) (int, error) {
	if err := d.need(extra); err != nil {
		return 0, err
	}
	return least + d.take(extra), nil
}
