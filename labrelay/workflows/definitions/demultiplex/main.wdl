version 1.2

# Raw base calls of an Illumina run become FASTQ by sample.

workflow demultiplex {
  meta {
    description: "Raw base calls of an Illumina run become FASTQ by sample: by BCL Convert, or lane by lane by Picard."
  }
  parameter_meta {
    run: { description: "The run folder, with RunInfo.xml and Data/Intensities/BaseCalls; a sandbox shows it to the task." }
    folder: { description: "Its path in place of it, where tasks have no sandbox, and would get a copy of it." }
    plan: { description: "What `labrelay demultiplex` has decided: lanes, read structures, indexes as they were read." }
    sheet: { description: "The sample sheet, which BCL Convert reads itself." }
    lanes: { description: "The lanes of the plan; Picard works on each by itself." }
    converter: { description: "bcl-convert or picard." }
  }
  input {
    Directory? run
    String folder = ""
    File plan
    File sheet
    Array[Int]+ lanes
    String converter = "picard"
  }

  Boolean whole = converter == "bcl-convert"
  Array[Int] one_by_one = if whole then [] else lanes
  Array[File] nothing = []
  Map[String, String] unsaid = {}

  if (whole) {
    call convert { input: run, folder, sheet }
  }
  scatter (lane in one_by_one) {
    call by_picard { input: run, folder, plan, lane }
  }
  if (!whole) {
    call count { input: stats = by_picard.stats, unknown = by_picard.unknown }
  }

  output {
    Array[File] reads = select_first([convert.reads, flatten(by_picard.reads)])
    Array[File] reports = select_first([convert.reports, count.reports, nothing])
    Map[String, String] tool_versions =
      select_first([convert.tool_versions, if whole then unsaid else by_picard.tool_versions[0]])
  }
}

task convert {
  input {
    Directory? run
    String folder
    File sheet
    Int cpus = 8
  }
  command <<<
    set -euo pipefail
    mkdir -p /var/log/bcl-convert 2> /dev/null || true # which it wants to write to
    run=$(cat "~{write_lines([if defined(run) then "~{run}" else folder])}") # by a file: a folder's name is nothing that a shell should read
    bcl-convert --bcl-input-directory "$run" --sample-sheet "~{sheet}" --output-directory out
    bcl-convert --version 2>&1 | sed -n 's/.*[Vv]ersion[: ]*\([0-9][^ ]*\).*/BCL Convert\t\1/p' | head -n 1 > versions.tsv
  >>>
  output {
    Array[File] reads = glob("out/*.fastq.gz")
    Array[File] reports = glob("out/Reports/*")
    Map[String, String] tool_versions = read_map("versions.tsv")
  }
  requirements {
    cpu: cpus
    memory: "16 GB"
  }
}

task by_picard {
  input {
    Directory? run
    String folder
    File plan
    Int lane
    Int cpus = 4
  }
  command <<<
    set -euo pipefail
    python3 - "~{write_lines([if defined(run) then "~{run}" else folder])}" "~{plan}" ~{lane} ~{cpus} <<'PYTHON'
    import csv, gzip, json, os, re, shutil, subprocess, sys
    from collections import Counter

    PLAN, LANE, CPUS = sys.argv[2], int(sys.argv[3]), sys.argv[4]
    with open(sys.argv[1], encoding="utf-8") as handle:
        RUN = handle.read().rstrip("\n")
    HEAP = "-Xmx4g"
    MOST = 1000  # unknown barcodes that are told
    HELD = 2_000_000  # different ones that are counted at one time


    def picard(tool, *options):
        """Run a tool of Picard; of a failure the exception is the last word, all else is in the log."""
        argv = ["picard", HEAP, tool, *options, "TMP_DIR=tmp"]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        sys.stdout.write(done.stdout)
        sys.stdout.flush()
        if done.returncode:
            told = re.findall(r"^(?:Caused by: |Exception in thread \S+ )?\S*(?:Exception|Error): (.+)$", done.stdout, re.M)
            sys.exit(f"lane {LANE}: {tool} failed: {told[-1] if told else done.stdout[-300:]}")


    def rows(path):
        """Yield the table of a metrics file of Picard."""
        with open(path) as handle:
            lines = [line for line in handle if line.strip() and not line.startswith("#")]
        yield from csv.DictReader(lines, delimiter="\t")


    def write(path, header, table):
        with open(path, "w", newline="") as out:
            csv.writer(out, delimiter="\t", lineterminator="\n").writerows([header, *table])


    def sequences(path):
        with gzip.open(path, "rt") as handle:
            for number, line in enumerate(handle):
                if number % 4 == 1:
                    yield line.rstrip("\n")


    def turned(bases):
        return bases.translate(str.maketrans("ACGT", "TGCA"))[::-1]


    with open(PLAN) as handle:
        plan = json.load(handle)
    part = next(lane for lane in plan["lanes"] if lane["lane"] == LANE)
    samples, indexes = part["samples"], part["indexes"]
    basecalls = os.path.join(RUN, "Data", "Intensities", "BaseCalls")
    for folder in ("tmp", "barcodes", "made", "reads"):
        os.mkdir(folder)
    common = [f"BASECALLS_DIR={basecalls}", f"LANE={LANE}", f"READ_STRUCTURE={part['structure']}"]
    names = [f"BARCODE_{n + 1}" for n in range(indexes)]
    counts = {}
    if indexes:
        keys = [f"barcode_sequence_{n + 1}" for n in range(indexes)]
        table = [[*sample["read_as"], sample["prefix"], "x"] for sample in samples]
        write("barcodes.tsv", [*keys, "barcode_name", "library_name"], table)
        picard(
            "ExtractIlluminaBarcodes", *common, "BARCODE_FILE=barcodes.tsv", "OUTPUT_DIR=barcodes", "METRICS_FILE=metrics.txt",
            f"MAX_MISMATCHES={plan['mismatches']}", "COMPRESS_OUTPUTS=true", f"NUM_PROCESSORS={CPUS}",
        )
        counts = {row["BARCODE_NAME"]: row for row in rows("metrics.txt")}
        nobody = [["made/Undetermined", *("N" * indexes)]]
        write("prefixes.tsv", ["OUTPUT_PREFIX", *names], [*([f"made/{s['prefix']}", *s["read_as"]] for s in samples), *nobody])
        outputs = ["MULTIPLEX_PARAMS=prefixes.tsv", "BARCODES_DIR=barcodes"]
    else:
        outputs = [f"OUTPUT_PREFIX=made/{samples[0]['prefix']}"]
    # What did not pass the filter is left out and qualities are left as they are, as BCL Convert does.
    picard(
        "IlluminaBasecallsToFastq", *common, *outputs, f"RUN_BARCODE={plan['run']}", f"MACHINE_NAME={plan['instrument']}",
        f"FLOWCELL_BARCODE={plan['flow_cell']}", "INCLUDE_NON_PF_READS=false", "APPLY_EAMSS_FILTER=false",
        "COMPRESS_OUTPUTS=true", f"NUM_PROCESSORS={CPUS}",
    )

    mates, moved = part["mates"], 0
    for sample in [*samples, *([{"prefix": "Undetermined", "file": "Undetermined_S0"}] if indexes else [])]:
        for mate in range(1, mates + 1):
            made = f"made/{sample['prefix']}.{mate}.fastq.gz"
            if next(sequences(made), None) is None:
                continue  # a sample without reads has no file, and a 0 in the report
            if not indexes and mate == 1:  # all are one sample's, and Picard has not counted them
                moved = sum(1 for _ in sequences(made))
            # The indexes of one sample follow each other: gzip members may.
            with open(f"reads/{sample['file']}_L{LANE:03d}_R{mate}_001.fastq.gz", "ab") as out, open(made, "rb") as part_of:
                shutil.copyfileobj(part_of, out, 1 << 20)
            os.unlink(made)

    unknown, total = Counter(), 0
    if indexes:
        files = [sequences(f"made/Undetermined.barcode_{n + 1}.fastq.gz") for n in range(indexes)]
        for read in zip(*files, strict=True):
            unknown[read] += 1
            total += 1
            if len(unknown) > HELD:  # the many rare ones are mistakes, and nobody looks for them
                unknown = Counter(dict(unknown.most_common(HELD // 2)))  # half, so that it is not done at every read


    def number(row, name):
        return int(row.get(name) or 0)


    lines = []
    for sample in samples:
        row = counts.get(sample["prefix"], {})
        if indexes:
            reads, perfect, one = (number(row, f"PF_{name}") for name in ("READS", "PERFECT_MATCHES", "ONE_MISMATCH_MATCHES"))
        else:
            reads, perfect, one = moved, moved, 0
        lines.append([sample["id"], "-".join(sample["indexes"]), reads, perfect, one, reads - perfect - one])
    if indexes:
        lines.append(["Undetermined", "", total, 0, 0, 0])
    every = sum(line[2] for line in lines)


    def share(part, whole):
        return f"{part / whole:.4f}" if whole else "0.0000"


    with open("stats.csv", "w", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        for name, index, reads, *levels in lines:
            table.writerow([LANE, name, index, reads, *levels, share(reads, every), *(share(n, reads) for n in levels)])
    with open("unknown.csv", "w", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        for read, n in sorted(unknown.items(), key=lambda each: (-each[1], each[0]))[:MOST]:
            shown = [turned(bases) if turn else bases for bases, turn in zip(read, part["turned"])]
            table.writerow([LANE, *shown, *([""] * (2 - indexes)), n, share(n, total), share(n, every)])
    said = subprocess.run(["picard", "ExtractIlluminaBarcodes", "--version"], capture_output=True, text=True)
    version = re.search(r"Version:\s*([\w.]+)", said.stdout + said.stderr)
    with open("versions.tsv", "w") as out:
        out.write(f"Picard\t{version[1] if version else 'unknown'}\n")
    PYTHON
    rm -rf tmp made barcodes
  >>>
  output {
    Array[File] reads = glob("reads/*.fastq.gz")
    File stats = "stats.csv"
    File unknown = "unknown.csv"
    Map[String, String] tool_versions = read_map("versions.tsv")
  }
  requirements {
    container: "quay.io/biocontainers/picard:3.4.0--hdfd78af_0"
    cpu: cpus
    memory: "6 GB"
  }
}

task count {
  input {
    Array[File] stats
    Array[File] unknown
  }
  command <<<
    set -eu
    {
      printf 'Lane,SampleID,Index,# Reads,# Perfect Index Reads,# One Mismatch Index Reads,# Two Mismatch Index Reads,'
      printf '%% Reads,%% Perfect Index Reads,%% One Mismatch Index Reads,%% Two Mismatch Index Reads\n'
      cat ~{sep(" ", stats)}
    } > Demultiplex_Stats.csv
    {
      printf 'Lane,index,index2,# Reads,%% of Unknown Barcodes,%% of All Reads\n'
      cat ~{sep(" ", unknown)}
    } > Top_Unknown_Barcodes.csv
  >>>
  output {
    Array[File] reports = ["Demultiplex_Stats.csv", "Top_Unknown_Barcodes.csv"]
  }
  requirements {
    container: "quay.io/biocontainers/picard:3.4.0--hdfd78af_0"
    cpu: 1
    memory: "1 GB"
  }
}
