version 1.1

# Paired short reads of one sample against one small reference genome: trimmed reads, alignment, variants of the
# majority, consensus, depth, and the numbers to judge them by.

workflow viral_variants {
  meta {
    description: "Trim, align, call majority variants and build a consensus for a small viral genome."
  }
  parameter_meta {
    sample: { description: "Sample name; it stands in the read group, the VCF and the consensus header." }
    r1: { description: "FASTQ files of the first mates, one a lane." }
    r2: { description: "FASTQ files of the second mates, in the order of r1." }
    reference: { description: "Reference genome as FASTA with LF line ends." }
    quality_cutoff: { description: "Bases below this Phred quality are trimmed from both ends." }
    min_length: { description: "Pairs with a mate shorter than this after trimming are dropped." }
    min_mapping_quality: { description: "Alignments below this mapping quality do not count." }
    min_base_quality: { description: "Bases below this Phred quality do not count." }
    min_variant_quality: { description: "Variants below this QUAL are left out." }
    min_allele_fraction: { description: "Variants that fewer reads than this fraction show are left out." }
    min_depth: { description: "Positions with fewer reads are not called, and are N in the consensus." }
  }
  input {
    String sample
    Array[File]+ r1
    Array[File]+ r2
    File reference
    Int quality_cutoff = 20
    Int min_length = 40
    Int min_mapping_quality = 20
    Int min_base_quality = 20
    Float min_variant_quality = 20.0
    Float min_allele_fraction = 0.75
    Int min_depth = 10
  }
  # What reaches a command line is made of harmless characters only.
  String id = sub(sample, "[^A-Za-z0-9._-]", "_")

  call trim { input: r1, r2, quality_cutoff, min_length }
  call align { input: id, r1 = trim.trimmed_r1, r2 = trim.trimmed_r2, reference, min_mapping_quality, min_base_quality }
  call call_variants {
    input: id, bam = align.bam, bai = align.bai, depth = align.depth, reference,
      min_mapping_quality, min_base_quality, min_variant_quality, min_allele_fraction, min_depth
  }
  call summarise {
    input: trimming = trim.report, flagstat = align.flagstat, stats = align.stats, depth = align.depth,
      table = call_variants.table, consensus = call_variants.consensus, min_depth,
      versions = [trim.versions, align.versions, call_variants.versions]
  }

  output {
    File bam = align.bam
    File bai = align.bai
    File vcf = call_variants.vcf
    File vcf_index = call_variants.vcf_index
    File variants = call_variants.table
    File consensus = call_variants.consensus
    File depth = summarise.depth_windows
    File metrics = summarise.metrics
    File trimming_report = trim.report
    Map[String, String] tool_versions = summarise.tool_versions
  }
}

task trim {
  input {
    Array[File]+ r1
    Array[File]+ r2
    Int quality_cutoff
    Int min_length
    Int cpus = 2
  }
  command <<<
    set -euo pipefail
    # Paths come by file, one a line, so that no character in them means anything to the shell.
    mapfile -t first < "~{write_lines(r1)}"
    mapfile -t second < "~{write_lines(r2)}"
    if [ "${#first[@]}" -ne "${#second[@]}" ]; then
      echo "There are ${#first[@]} files of first mates and ${#second[@]} of second mates; each lane needs both." >&2
      exit 1
    fi
    one="${first[0]}"; two="${second[0]}"
    if [ "${#first[@]}" -gt 1 ]; then
      # Plain and compressed lanes may be mixed: gzip -f passes through what is not compressed.
      for lane in "${first[@]}"; do gzip -cdf -- "$lane"; done > lanes_1.fastq
      for lane in "${second[@]}"; do gzip -cdf -- "$lane"; done > lanes_2.fastq
      one=lanes_1.fastq; two=lanes_2.fastq
    fi
    cutadapt --cores ~{cpus} -Z -q ~{quality_cutoff},~{quality_cutoff} -m ~{min_length} \
      -a AGATCGGAAGAGC -A AGATCGGAAGAGC --json trimming.json \
      -o trimmed_1.fastq.gz -p trimmed_2.fastq.gz "$one" "$two" > cutadapt.txt
    rm -f lanes_1.fastq lanes_2.fastq
    printf 'cutadapt\t%s\n' "$(cutadapt --version | head -n 1)" > versions.tsv
  >>>
  output {
    File trimmed_r1 = "trimmed_1.fastq.gz"
    File trimmed_r2 = "trimmed_2.fastq.gz"
    File report = "trimming.json"
    File versions = "versions.tsv"
  }
  runtime {
    container: "quay.io/biocontainers/cutadapt:4.9--py310h1fe012e_3"
    cpu: cpus
    memory: "1 GB"
  }
}

task align {
  input {
    String id
    File r1
    File r2
    File reference
    Int min_mapping_quality
    Int min_base_quality
    Int cpus = 2
  }
  command <<<
    set -euo pipefail
    minimap2 -a -x sr -t ~{cpus} -R '@RG\tID:~{id}\tSM:~{id}\tPL:ILLUMINA' "~{reference}" "~{r1}" "~{r2}" \
      | samtools sort -@ 1 -o aligned.bam -
    samtools index aligned.bam
    samtools flagstat -O tsv aligned.bam > flagstat.tsv
    samtools stats aligned.bam | grep '^SN' | cut -f 2- > stats.tsv
    # -aa: also contigs without a single read, which would else count as covered and keep the reference's bases.
    samtools depth -aa -q ~{min_base_quality} -Q ~{min_mapping_quality} aligned.bam > depth.tsv
    printf 'minimap2\t%s\n' "$(minimap2 --version | head -n 1)" > versions.tsv
    printf 'samtools\t%s\n' "$(samtools --version | sed -n '1s/^samtools //p')" >> versions.tsv
  >>>
  output {
    File bam = "aligned.bam"
    File bai = "aligned.bam.bai"
    File flagstat = "flagstat.tsv"
    File stats = "stats.tsv"
    File depth = "depth.tsv"
    File versions = "versions.tsv"
  }
  runtime {
    container: "quay.io/biocontainers/mulled-v2-66534bcbb7031a148b13e2ad42583020b9cd25c4:1679e915ddb9d6b4abda91880c4b48857d471bd8-0"
    cpu: cpus
    memory: "2 GB"
  }
}

task call_variants {
  input {
    String id
    File bam
    File bai
    File depth
    File reference
    Int min_mapping_quality
    Int min_base_quality
    Float min_variant_quality
    Float min_allele_fraction
    Int min_depth
  }
  command <<<
    set -euo pipefail
    cp "~{reference}" reference.fasta
    cp "~{bam}" aligned.bam
    cp "~{bai}" aligned.bam.bai
    # -A: amplified libraries hold many pairs in odd orientation, whose bases are as good as the others'.
    bcftools mpileup -A -d 100000 -q ~{min_mapping_quality} -Q ~{min_base_quality} -a FORMAT/AD,FORMAT/DP,INFO/AD \
      -Ou -o pileup.bcf -f reference.fasta aligned.bam
    bcftools call -m -v --ploidy 1 -Ou -o called.bcf pileup.bcf
    bcftools norm -f reference.fasta -Ou -o normal.bcf called.bcf
    bcftools filter -Oz -o variants.vcf.gz -i \
      'QUAL>=~{min_variant_quality} && SUM(FORMAT/AD[0:])>=~{min_depth} && FORMAT/AD[0:1]/SUM(FORMAT/AD[0:])>=~{min_allele_fraction}' \
      normal.bcf
    bcftools index -t variants.vcf.gz
    bcftools query -f '%CHROM\t%POS\t%REF\t%ALT\t%QUAL[\t%AD{0}\t%AD{1}]\n' variants.vcf.gz > rows.tsv
    awk -F '\t' -v OFS='\t' 'BEGIN { print "contig", "position", "ref", "alt", "qual", "depth", "alt_fraction" }
      { depth = $6 + $7; printf "%s\t%s\t%s\t%s\t%.1f\t%d\t%.4f\n", $1, $2, $3, $4, $5, depth, $7 / depth }' \
      rows.tsv > variants.tsv
    # BED intervals are 0-based and half-open.
    awk -v OFS='\t' '$3 < ~{min_depth} { print $1, $2 - 1, $2 }' "~{depth}" > low_depth.bed
    bcftools consensus -f reference.fasta -m low_depth.bed -p '~{id} ' -o consensus.fasta variants.vcf.gz 2> consensus.log
    printf 'bcftools\t%s\n' "$(bcftools --version | sed -n '1s/^bcftools //p')" > versions.tsv
    rm -f pileup.bcf called.bcf normal.bcf aligned.bam aligned.bam.bai reference.fasta reference.fasta.fai
  >>>
  output {
    File vcf = "variants.vcf.gz"
    File vcf_index = "variants.vcf.gz.tbi"
    File table = "variants.tsv"
    File consensus = "consensus.fasta"
    File versions = "versions.tsv"
  }
  runtime {
    container: "quay.io/biocontainers/bcftools:1.20--h8b25389_0"
    cpu: 1
    memory: "2 GB"
  }
}

task summarise {
  input {
    File trimming
    File flagstat
    File stats
    File depth
    File table
    File consensus
    Int min_depth
    Array[File] versions
  }
  command <<<
    set -euo pipefail
    mapfile -t version_files < "~{write_lines(versions)}"
    cat "${version_files[@]}" > tool_versions.tsv
    python3 - "~{trimming}" "~{flagstat}" "~{stats}" "~{depth}" "~{table}" "~{consensus}" ~{min_depth} <<'PYTHON'
    import csv, json, sys

    trimming, flagstat, stats, depth, table, consensus = sys.argv[1:7]
    min_depth = int(sys.argv[7])
    WINDOWS = 1000  # points of the depth figure at most


    def percent(part, whole):
        return round(100 * part / whole, 3) if whole else None


    with open(trimming) as handle:
        trimmed = json.load(handle)
    with open(flagstat) as handle:
        flags = {row[2]: row[0] for row in csv.reader(handle, delimiter="\t")}
    with open(stats) as handle:
        numbers = {row[0].rstrip(":"): row[1] for row in csv.reader(handle, delimiter="\t")}
    with open(depth) as handle:
        depths = [(row[0], int(row[1]), int(row[2])) for row in csv.reader(handle, delimiter="\t")]
    with open(table) as handle:
        variants = list(csv.DictReader(handle, delimiter="\t"))
    with open(consensus) as handle:
        bases = "".join(line.strip() for line in handle if not line.startswith(">")).upper()

    counts = [row[2] for row in depths]
    length = len(counts)
    pairs_in = trimmed["read_counts"]["input"]
    pairs_out = trimmed["read_counts"]["output"]
    primary = int(flags["primary"])
    mapped = int(flags["primary mapped"])
    metrics = {
        "read_pairs": pairs_in,
        "read_pairs_trimmed": pairs_out,
        "kept_percent": percent(pairs_out, pairs_in),
        "q30_bases_in": trimmed["basepair_counts"].get("input"),
        "mapped_percent": percent(mapped, primary),
        "proper_pair_percent": percent(int(flags["properly paired"]), primary),
        "insert_size_mean": float(numbers["insert size average"]) if mapped else None,
        "error_percent": round(100 * float(numbers["error rate"]), 4) if mapped else None,
        "genome_length": length,
        "mean_depth": round(sum(counts) / length, 2) if length else None,
        "median_depth": sorted(counts)[length // 2] if length else None,
        "breadth_1x_percent": percent(sum(c >= 1 for c in counts), length),
        "breadth_10x_percent": percent(sum(c >= 10 for c in counts), length),
        "breadth_100x_percent": percent(sum(c >= 100 for c in counts), length),
        "variants": len(variants),
        "snvs": sum(len(v["ref"]) == len(v["alt"]) == 1 for v in variants),
        "indels": sum(len(v["ref"]) != len(v["alt"]) for v in variants),
        "consensus_n_percent": percent(bases.count("N"), len(bases)),
    }
    del metrics["q30_bases_in"]
    with open("metrics.json", "w") as out:
        json.dump(metrics, out, indent=2)
        out.write("\n")

    # A window never spans two contigs; each row is its first position and the mean and minimum depth in it.
    size = max(1, -(-length // WINDOWS))
    with open("depth_windows.tsv", "w") as out:
        out.write("contig\tstart\tend\tmean_depth\tmin_depth\n")
        window = []
        for row in depths:
            if window and (row[0] != window[0][0] or len(window) == size):
                values = [w[2] for w in window]
                out.write(f"{window[0][0]}\t{window[0][1]}\t{window[-1][1]}\t{sum(values) / len(values):.1f}\t{min(values)}\n")
                window = []
            window.append(row)
        if window:
            values = [w[2] for w in window]
            out.write(f"{window[0][0]}\t{window[0][1]}\t{window[-1][1]}\t{sum(values) / len(values):.1f}\t{min(values)}\n")
    PYTHON
  >>>
  output {
    File metrics = "metrics.json"
    File depth_windows = "depth_windows.tsv"
    Map[String, String] tool_versions = read_map("tool_versions.tsv")
  }
  runtime {
    container: "quay.io/biocontainers/cutadapt:4.9--py310h1fe012e_3"
    cpu: 1
    memory: "1 GB"
  }
}
