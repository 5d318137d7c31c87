//! Jobs of real Gradio servers, as the agent counts them from their network traffic, compared with the logs of the
//! application and its clients. Each test takes less than a minute, most of it for jobs of known length.

mod gradio {
    mod counted;
    mod direct;
    mod proxies;
}
