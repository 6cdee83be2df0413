# SPDX-License-Identifier: Apache-2.0
# plot.gp - the benchmark's picture, from latency.dat and throughput.dat of the
# current folder: bench.svg and bench.png.

set datafile separator whitespace
array colour[9] = ["#0b6e4f", "#4fb286", "#c1292e", "#6c757d", "#6c757d", "#9aa5b1", "#9aa5b1", "#b08bbb", "#d9a05b"]
array dash[9] = [1, 1, 1, 2, 3, 2, 3, 4, 4]

do for [form in "svg png"] {
    if (form eq "svg") {
        set terminal svg size 1100,1000 noenhanced font "DejaVu Sans,13" background "white"
    } else {
        set terminal pngcairo size 1100,1000 noenhanced font "DejaVu Sans,11" background "white"
    }
    set output "bench." . form
    set multiplot layout 2,1

    set title "One caller: py:call(math, sqrt, [16]) and the baselines of the same run"
    set xlabel "time of a round trip (us)"
    set ylabel "percent of the calls that took no longer"
    set logscale x 10
    set xrange [0.05:2000]
    set yrange [0:100]
    set grid xtics ytics linetype 1 linecolor rgb "#dddddd"
    set key outside right top width -4
    plot for [i=1:9] "latency.dat" index i-1 using 1:2 with lines \
        linewidth (i <= 3 ? 3 : 1.5) dashtype dash[i] linecolor rgb colour[i] \
        title columnheader(1)

    set title "Calls per second against callers"
    set xlabel "callers"
    set ylabel "thousand calls per second"
    set logscale x 2
    set xrange [0.9:300]
    set yrange [0:*]
    set xtics (1, 2, 4, 8, 16, 64, 256)
    plot "throughput.dat" using 1:($4/1000) with linespoints pointtype 7 \
            linewidth 3 linecolor rgb colour[1] title "lane, two contexts", \
        "" using 1:($2/1000) with linespoints pointtype 7 \
            linewidth 2 linecolor rgb colour[2] title "lane, one context", \
        "" using 1:($5/1000) with linespoints pointtype 5 \
            linewidth 3 linecolor rgb colour[3] title "socketpair, two contexts", \
        "" using 1:($3/1000) with linespoints pointtype 5 \
            linewidth 2 linecolor rgb "#e79a9d" title "socketpair, one context"
    set xtics autofreq
    unset multiplot
    set output
}
