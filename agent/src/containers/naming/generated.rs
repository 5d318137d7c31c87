//! Recognizes the names that Docker generates if the user gives none: an adjective, `_`, a surname and, if that name is
//! taken, a digit. The words were collected from 4,000 containers created without a name (Docker 20.10). A name with an
//! unknown word is shown as it is.

/// True for a name that Docker generated.
pub(super) fn is_generated(name: &str) -> bool {
    let name = name.strip_suffix(|last: char| last.is_ascii_digit()).unwrap_or(name);
    name.split_once('_').is_some_and(|(adjective, surname)| {
        ADJECTIVES.split(' ').any(|word| word == adjective) && SURNAMES.split(' ').any(|word| word == surname)
    })
}

const ADJECTIVES: &str = "\
    admiring adoring affectionate agitated amazing angry awesome beautiful blissful bold boring brave \
    busy charming clever compassionate competent condescending confident cool cranky crazy dazzling \
    determined distracted dreamy eager ecstatic elastic elated elegant eloquent epic exciting fervent \
    festive flamboyant focused friendly frosty funny gallant gifted goofy gracious great happy hardcore \
    heuristic hopeful hungry infallible inspiring intelligent interesting jolly jovial keen kind \
    laughing loving lucid magical modest musing mystifying naughty nervous nice nifty nostalgic \
    objective optimistic peaceful pedantic pensive practical priceless quirky quizzical recursing \
    relaxed reverent romantic sad serene sharp silly sleepy stoic strange stupefied suspicious sweet \
    tender thirsty trusting unruffled upbeat vibrant vigilant vigorous wizardly wonderful xenodochial \
    youthful zealous zen";

const SURNAMES: &str = "\
    agnesi albattani allen almeida antonelli archimedes ardinghelli aryabhata austin babbage banach \
    banzai bardeen bartik bassi beaver bell benz bhabha bhaskara black blackburn blackwell bohr booth \
    borg bose bouman boyd brahmagupta brattain brown buck burnell cannon carson cartwright carver cerf \
    chandrasekhar chaplygin chatelet chatterjee chaum chebyshev clarke cohen colden cori cray curie \
    curran darwin davinci dewdney dhawan diffie dijkstra dirac driscoll dubinsky easley edison einstein \
    elbakyan elgamal elion ellis engelbart euclid euler faraday feistel fermat fermi feynman franklin \
    gagarin galileo galois ganguly gates gauss germain goldberg goldstine goldwasser golick goodall \
    gould greider grothendieck haibt hamilton haslett hawking heisenberg hellman hermann herschel hertz \
    heyrovsky hodgkin hofstadter hoover hopper hugle hypatia ishizaka jackson jang jemison jennings \
    jepsen johnson joliot jones kalam kapitsa kare keldysh keller kepler khayyam khorana kilby kirch \
    knuth kowalevski lalande lamarr lamport leakey leavitt lederberg lehmann lewin lichterman liskov \
    lovelace lumiere mahavira margulis matsumoto maxwell mayer mccarthy mcclintock mclaren mclean \
    mcnulty meitner mendel mendeleev meninsky merkle mestorf mirzakhani montalcini moore morse moser \
    murdock napier nash neumann newton nightingale nobel noether northcutt noyce panini pare pascal \
    pasteur payne perlman pike poincare poitras proskuriakova ptolemy raman ramanujan rhodes ride \
    ritchie robinson roentgen rosalind rubin saha sammet sanderson satoshi shamir shannon shaw shirley \
    shockley shtern sinoussi snyder solomon spence stonebraker sutherland swanson swartz swirles taussig \
    tesla tharp thompson torvalds tu turing varahamihira vaughan villani visvesvaraya volhard wescoff \
    wilbur wiles williams williamson wilson wing wozniak wright wu yalow yonath zhukovsky";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_docker_generates_are_recognized() {
        for name in ["happy_morse", "zen_tesla", "admiring_albattani3", "wizardly_zhukovsky"] {
            assert!(is_generated(name), "{name}");
        }
    }

    #[test]
    fn other_names_are_not_recognized_as_generated() {
        for name in [
            "",
            "_",
            "happy_",
            "_morse",
            "happy",
            "face_fusion",
            "training_job",
            "happy_face",
            "happy_morse12",
            "happy-morse",
        ] {
            assert!(!is_generated(name), "{name}");
        }
    }

    #[test]
    fn the_word_lists_are_complete() {
        assert_eq!((ADJECTIVES.split(' ').count(), SURNAMES.split(' ').count()), (108, 236));
        for word in ADJECTIVES.split(' ').chain(SURNAMES.split(' ')) {
            assert!(!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()), "{word:?}");
        }
    }
}
