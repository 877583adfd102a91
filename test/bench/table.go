package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// median returns the middle of some numbers, the mean of the two middle ones of
// an even count, and 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// ratios divides round by round: what disturbs a round disturbs both sides.
func ratios(over, under []float64) []float64 {
	var all []float64
	for n := range min(len(over), len(under)) {
		if under[n] != 0 {
			all = append(all, over[n]/under[n])
		}
	}
	return all
}

// table is printed in Markdown, with columns that line up.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(w io.Writer) {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for n, cell := range row {
			widths[n] = max(widths[n], utf8.RuneCountInString(cell))
		}
	}
	line := func(row []string, fill string) {
		fmt.Fprint(w, "|")
		for n, cell := range row {
			fmt.Fprint(w, " ", cell, strings.Repeat(fill, widths[n]-utf8.RuneCountInString(cell)), " |")
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	line(t.head, " ")
	line(make([]string, len(t.head)), "-")
	for _, row := range t.rows {
		line(row, " ")
	}
}

// figure writes a number with about three digits; none is a dash.
func figure(n float64) string {
	switch {
	case n == 0:
		return "–"
	case n < 10:
		return fmt.Sprintf("%.2f", n)
	case n < 100:
		return fmt.Sprintf("%.1f", n)
	default:
		return fmt.Sprintf("%.0f", n)
	}
}
