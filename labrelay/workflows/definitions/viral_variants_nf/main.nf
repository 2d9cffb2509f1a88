#!/usr/bin/env nextflow

// The Nextflow twin of viral_variants: the same tools, steps and commands as its WDL, and so the same results.
// Paired short reads of one sample against one small reference genome: trimmed reads, alignment, variants of the
// majority, consensus, depth, and the numbers to judge them by.

// What comes from outside reaches a command line as a number, as a name of harmless characters, or as a file that is
// staged under a name of ours: nothing in a parameter or in a file's name means anything to the shell.

def whole(name) {
    def text = "${params[name]}"
    if (!(text ==~ /-?[0-9]{1,9}/)) {
        error "The parameter ${name} is ${text}, which is no whole number; give one."
    }
    return text as Integer
}

// Six decimals, as WDL writes a Float on a command line.
def decimal(name) {
    def text = "${params[name]}"
    if (!(text ==~ /-?[0-9]{1,15}([.][0-9]{1,30})?([eE][+-]?[0-9]{1,2})?/)) {
        error "The parameter ${name} is ${text}, which is no number; give one."
    }
    return (text as BigDecimal).setScale(6, java.math.RoundingMode.HALF_EVEN).toPlainString()
}

// An existing file. Nextflow escapes its name for the script that stages it, all but wildcards and the ends of lines:
// those could mean another file, or another command.
def existing(name, given) {
    if (!(given ==~ /[^\p{Cntrl}*?\[\]{}]+/)) {
        error "The parameter ${name} has a path with * ? [ ] { } or control characters in it; rename that file or folder."
    }
    return file(given, glob: false, checkIfExists: true)
}

// A list of files, one a lane; a single path is one lane.
def lanes(name) {
    def given = params[name] instanceof Collection ? params[name] : [params[name]]
    if (!given || !given.every { path -> path }) {
        error "The parameter ${name} is missing; give the list of FASTQ files, one a lane."
    }
    return given.collect { path -> existing(name, "${path}") }
}

process trim {
    container 'quay.io/biocontainers/cutadapt:4.9--py310h1fe012e_3'
    publishDir params.outdir, mode: 'copy', pattern: 'trimming.json'

    input:
    path r1, stageAs: 'r1/lane?', arity: '1..*'
    path r2, stageAs: 'r2/lane?', arity: '1..*'
    val quality_cutoff
    val min_length

    output:
    path 'trimmed_1.fastq.gz', emit: trimmed_r1
    path 'trimmed_2.fastq.gz', emit: trimmed_r2
    path 'trimming.json', emit: report
    path 'versions.tsv', emit: versions

    script:
    """
    set -euo pipefail
    first=(${r1.join(' ')})
    second=(${r2.join(' ')})
    one="\${first[0]}"; two="\${second[0]}"
    if [ "\${#first[@]}" -gt 1 ]; then
      # Plain and compressed lanes may be mixed: gzip -f passes through what is not compressed.
      for lane in "\${first[@]}"; do gzip -cdf -- "\$lane"; done > lanes_1.fastq
      for lane in "\${second[@]}"; do gzip -cdf -- "\$lane"; done > lanes_2.fastq
      one=lanes_1.fastq; two=lanes_2.fastq
    fi
    cutadapt --cores ${task.cpus} -Z -q ${quality_cutoff},${quality_cutoff} -m ${min_length} \\
      -a AGATCGGAAGAGC -A AGATCGGAAGAGC --json trimming.json \\
      -o trimmed_1.fastq.gz -p trimmed_2.fastq.gz "\$one" "\$two" > cutadapt.txt
    rm -f lanes_1.fastq lanes_2.fastq
    printf 'cutadapt\\t%s\\n' "\$(cutadapt --version | head -n 1)" > versions.tsv
    """
}

process align {
    container 'quay.io/biocontainers/mulled-v2-66534bcbb7031a148b13e2ad42583020b9cd25c4:1679e915ddb9d6b4abda91880c4b48857d471bd8-0'
    publishDir params.outdir, mode: 'copy', pattern: 'aligned.bam{,.bai}'

    input:
    val id
    path r1, stageAs: 'trimmed_1.fastq.gz'
    path r2, stageAs: 'trimmed_2.fastq.gz'
    path reference, stageAs: 'reference.fasta'
    val min_mapping_quality
    val min_base_quality

    output:
    path 'aligned.bam', emit: bam
    path 'aligned.bam.bai', emit: bai
    path 'flagstat.tsv', emit: flagstat
    path 'stats.tsv', emit: stats
    path 'depth.tsv', emit: depth
    path 'versions.tsv', emit: versions

    script:
    """
    set -euo pipefail
    minimap2 -a -x sr -t ${task.cpus} -R '@RG\\tID:${id}\\tSM:${id}\\tPL:ILLUMINA' ${reference} ${r1} ${r2} \\
      | samtools sort -@ 1 -o aligned.bam -
    samtools index aligned.bam
    samtools flagstat -O tsv aligned.bam > flagstat.tsv
    samtools stats aligned.bam | grep '^SN' | cut -f 2- > stats.tsv
    # -aa: also contigs without a single read, which would else count as covered and keep the reference's bases.
    samtools depth -aa -q ${min_base_quality} -Q ${min_mapping_quality} aligned.bam > depth.tsv
    printf 'minimap2\\t%s\\n' "\$(minimap2 --version | head -n 1)" > versions.tsv
    printf 'samtools\\t%s\\n' "\$(samtools --version | sed -n '1s/^samtools //p')" >> versions.tsv
    """
}

process call_variants {
    container 'quay.io/biocontainers/bcftools:1.20--h8b25389_0'
    publishDir params.outdir, mode: 'copy', pattern: '{variants.vcf.gz,variants.vcf.gz.tbi,variants.tsv,consensus.fasta}'

    input:
    val id
    path bam, stageAs: 'aligned.bam'
    path bai, stageAs: 'aligned.bam.bai'
    path depth, stageAs: 'depth.tsv'
    path reference, stageAs: 'reference.fasta'
    val min_mapping_quality
    val min_base_quality
    val min_variant_quality
    val min_allele_fraction
    val min_depth

    output:
    path 'variants.vcf.gz', emit: vcf
    path 'variants.vcf.gz.tbi', emit: vcf_index
    path 'variants.tsv', emit: table
    path 'consensus.fasta', emit: consensus
    path 'versions.tsv', emit: versions

    script:
    """
    set -euo pipefail
    # -A: amplified libraries hold many pairs in odd orientation, whose bases are as good as the others'.
    bcftools mpileup -A -d 100000 -q ${min_mapping_quality} -Q ${min_base_quality} -a FORMAT/AD,FORMAT/DP,INFO/AD \\
      -Ou -o pileup.bcf -f ${reference} ${bam}
    bcftools call -m -v --ploidy 1 -Ou -o called.bcf pileup.bcf
    bcftools norm -f ${reference} -Ou -o normal.bcf called.bcf
    bcftools filter -Oz -o variants.vcf.gz -i \\
      'QUAL>=${min_variant_quality} && SUM(FORMAT/AD[0:])>=${min_depth} && FORMAT/AD[0:1]/SUM(FORMAT/AD[0:])>=${min_allele_fraction}' \\
      normal.bcf
    bcftools index -t variants.vcf.gz
    bcftools query -f '%CHROM\\t%POS\\t%REF\\t%ALT\\t%QUAL[\\t%AD{0}\\t%AD{1}]\\n' variants.vcf.gz > rows.tsv
    awk -F '\\t' -v OFS='\\t' 'BEGIN { print "contig", "position", "ref", "alt", "qual", "depth", "alt_fraction" }
      { depth = \$6 + \$7; printf "%s\\t%s\\t%s\\t%s\\t%.1f\\t%d\\t%.4f\\n", \$1, \$2, \$3, \$4, \$5, depth, \$7 / depth }' \\
      rows.tsv > variants.tsv
    # BED intervals are 0-based and half-open.
    awk -v OFS='\\t' '\$3 < ${min_depth} { print \$1, \$2 - 1, \$2 }' ${depth} > low_depth.bed
    bcftools consensus -f ${reference} -m low_depth.bed -p '${id} ' -o consensus.fasta variants.vcf.gz 2> consensus.log
    printf 'bcftools\\t%s\\n' "\$(bcftools --version | sed -n '1s/^bcftools //p')" > versions.tsv
    rm -f pileup.bcf called.bcf normal.bcf reference.fasta.fai
    """
}

process summarise {
    container 'quay.io/biocontainers/cutadapt:4.9--py310h1fe012e_3'
    publishDir params.outdir, mode: 'copy', pattern: '{metrics.json,depth_windows.tsv,tool_versions.json}'

    input:
    path trimming, stageAs: 'trimming.json'
    path flagstat, stageAs: 'flagstat.tsv'
    path stats, stageAs: 'stats.tsv'
    path depth, stageAs: 'depth.tsv'
    path table, stageAs: 'variants.tsv'
    path consensus, stageAs: 'consensus.fasta'
    val min_depth
    path trim_versions, stageAs: 'trim.versions.tsv'
    path align_versions, stageAs: 'align.versions.tsv'
    path call_versions, stageAs: 'call_variants.versions.tsv'

    output:
    path 'metrics.json', emit: metrics
    path 'depth_windows.tsv', emit: depth_windows
    path 'tool_versions.json', emit: tool_versions

    // The Python is the WDL's, word for word; a test compares them.
    script:
    """
    set -euo pipefail
    cat ${trim_versions} ${align_versions} ${call_versions} > tool_versions.tsv
    python3 - ${trimming} ${flagstat} ${stats} ${depth} ${table} ${consensus} ${min_depth} <<'PYTHON'
    import csv, json, sys

    trimming, flagstat, stats, depth, table, consensus = sys.argv[1:7]
    min_depth = int(sys.argv[7])
    WINDOWS = 1000  # points of the depth figure at most


    def percent(part, whole):
        return round(100 * part / whole, 3) if whole else None


    with open(trimming) as handle:
        trimmed = json.load(handle)
    with open(flagstat) as handle:
        flags = {row[2]: row[0] for row in csv.reader(handle, delimiter="\\t")}
    with open(stats) as handle:
        numbers = {row[0].rstrip(":"): row[1] for row in csv.reader(handle, delimiter="\\t")}
    with open(depth) as handle:
        depths = [(row[0], int(row[1]), int(row[2])) for row in csv.reader(handle, delimiter="\\t")]
    with open(table) as handle:
        variants = list(csv.DictReader(handle, delimiter="\\t"))
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
        out.write("\\n")

    # A window never spans two contigs; each row is its first position and the mean and minimum depth in it.
    size = max(1, -(-length // WINDOWS))
    with open("depth_windows.tsv", "w") as out:
        out.write("contig\\tstart\\tend\\tmean_depth\\tmin_depth\\n")
        window = []
        for row in depths:
            if window and (row[0] != window[0][0] or len(window) == size):
                values = [w[2] for w in window]
                out.write(f"{window[0][0]}\\t{window[0][1]}\\t{window[-1][1]}\\t{sum(values) / len(values):.1f}\\t{min(values)}\\n")
                window = []
            window.append(row)
        if window:
            values = [w[2] for w in window]
            out.write(f"{window[0][0]}\\t{window[0][1]}\\t{window[-1][1]}\\t{sum(values) / len(values):.1f}\\t{min(values)}\\n")
    PYTHON
    python3 - tool_versions.tsv <<'VERSIONS'
    import csv, json, sys

    with open(sys.argv[1]) as handle:
        versions = dict(csv.reader(handle, delimiter="\\t"))
    with open("tool_versions.json", "w") as out:
        json.dump(versions, out, indent=2)
        out.write("\\n")
    VERSIONS
    """
}

workflow {
    if (!params.sample) {
        error 'The parameter sample is missing; give the name of the sample.'
    }
    // What reaches a command line is made of harmless characters only.
    def id = "${params.sample}".replaceAll(/[^A-Za-z0-9._-]/, '_')
    def first = lanes('r1')
    def second = lanes('r2')
    if (first.size() != second.size()) {
        error "There are ${first.size()} files of first mates and ${second.size()} of second mates; each lane needs both."
    }
    if (!params.reference) {
        error 'The parameter reference is missing; give the FASTA file of the genome.'
    }
    def genome = existing('reference', "${params.reference}")
    def mapping_quality = whole('min_mapping_quality')
    def base_quality = whole('min_base_quality')
    def depth_to_call = whole('min_depth')

    trim(first, second, whole('quality_cutoff'), whole('min_length'))
    align(id, trim.out.trimmed_r1, trim.out.trimmed_r2, genome, mapping_quality, base_quality)
    call_variants(
        id, align.out.bam, align.out.bai, align.out.depth, genome,
        mapping_quality, base_quality, decimal('min_variant_quality'), decimal('min_allele_fraction'), depth_to_call
    )
    summarise(
        trim.out.report, align.out.flagstat, align.out.stats, align.out.depth,
        call_variants.out.table, call_variants.out.consensus, depth_to_call,
        trim.out.versions, align.out.versions, call_variants.out.versions
    )
}
