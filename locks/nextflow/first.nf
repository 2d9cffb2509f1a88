// Run once by `make nextflow`, so that Java keeps the classes that every pipeline loads (classes.jsa).
process say {
    input: val word
    output: path 'said.txt'
    script: "echo $word > said.txt"
}

workflow {
    say(channel.of('hello')) | view
}
