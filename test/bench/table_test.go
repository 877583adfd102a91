package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMedianOfRatios(t *testing.T) {
	assert.Equal(t, 2.0, median([]float64{9, 2, 1}))
	assert.Equal(t, 3.0, median([]float64{4, 2}))
	assert.Zero(t, median(nil))
	// Round by round: the second round was slow for both, and changes nothing.
	assert.Equal(t, 0.5, median(ratios([]float64{50, 5, 60}, []float64{100, 10, 120})))
	assert.Empty(t, ratios([]float64{1}, nil), "a contender that was not measured")
}

func TestTableLinesUp(t *testing.T) {
	table := table{head: []string{"cell", "÷ nginx"}}
	table.add("h1", "0.85")
	table.add("h2 gzip", figure(0))
	var out bytes.Buffer
	table.print(&out)
	assert.Equal(t, "\n"+
		"| cell    | ÷ nginx |\n"+
		"| ------- | ------- |\n"+
		"| h1      | 0.85    |\n"+
		"| h2 gzip | –       |\n", out.String())
}
