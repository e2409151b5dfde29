# gnuplot -c tests/bench/concurrency.gp FILE.dat: FILE.svg and FILE.png, the heat map of what bench_concurrency wrote:
# ways of handing orders over by cores, throughput relative to one thread that has nobody to hand over to.
base = ARG1[1:strlen(ARG1) - 4]
set title "Throughput relative to one thread without hand-over"
set xlabel "cores"
set cblabel "times"
set cbrange [0:2]
set palette defined (0 "#b2182b", 1 "#f7f7f7", 2 "#2166ac")
set yrange [*:*] reverse
unset key
set terminal svg size 900,500 background "white"
set output base . ".svg"
plot ARG1 matrix rowheaders columnheaders using 1:2:3 with image, \
     ARG1 matrix rowheaders columnheaders using 1:2:(sprintf("%.2f", $3)) with labels
set terminal pngcairo size 900,500
set output base . ".png"
replot
