%% SPDX-License-Identifier: Apache-2.0
%% @doc Python from Erlang.
%%
%% ```
%% {ok, 4.0} = py:call(math, sqrt, [16]).
%% {ok, 3} = py:eval("a + b", #{a => 1, b => 2}).
%% ok = py:exec("import json").
%% '''
%% Modules, functions, attributes and code are atoms, binaries or strings.
%% Without a context the call goes to the default pool, to the context of the
%% scheduler that the caller runs on; with a pid it goes to that context, with
%% an atom to that pool.  The reasons of `{error, Reason}' are those of
%% {@link py_context}.
-module(py).

%% Running Python.
-export([call/3, call/4, call/5, eval/1, eval/2, eval/3, exec/1, exec/2, exec/3]).
%% Without waiting.
-export([cast/3, cast/4, cast/5, spawn_call/3, spawn_call/4, spawn_call/5, await/1, await/2,
         parallel/1]).
%% Coroutines.
-export([async_call/3, async_call/4, async_call/5, async_await/1, async_await/2,
         async_gather/1, async_gather/2, async_gather/3]).
%% Iterators.
-export([stream/3, stream/4, stream/5, stream_eval/1, stream_eval/2, stream_start/3,
         stream_start/4, stream_start/5, stream_cancel/1]).
%% Objects that stay in Python.
-export([call_method/3, call_method/4, getattr/2, getattr/3, to_term/1, is_ref/1]).
%% Functions that Python may call.
-export([register_function/2, register_function/3, unregister_function/1]).
%% State that Erlang and Python share.
-export([state_fetch/1, state_store/2, state_remove/1, state_keys/0, state_clear/0,
         state_incr/1, state_incr/2, state_decr/1, state_decr/2]).
-export([shared_dict_new/0, shared_dict_get/2, shared_dict_get/3, shared_dict_set/3,
         shared_dict_del/2, shared_dict_keys/1, shared_dict_destroy/1]).
%% Contexts.
-export([context/0, context/1, start_contexts/0, start_contexts/1, stop_contexts/0,
         contexts_started/0, interrupt/1, register_pool/2, unregister_pool/1]).
%% Virtual environments.
-export([ensure_venv/2, ensure_venv/3, activate_venv/1, deactivate_venv/0, venv_info/0,
         venv_info/1]).
%% Descriptors.
-export([dup_fd/1, close_fd/1]).
%% Looking at it.
-export([sandbox_info/0]).
-export([version/0, last_error/0, execution_mode/0, stats/0, stats/1, backtrace/1]).
%% Maintenance of the default pool.
-export([memory_stats/0, gc/0, gc/1, tracemalloc_start/0, tracemalloc_start/1,
         tracemalloc_stop/0, reload/1]).
%% Logs and traces.
-export([configure_logging/0, configure_logging/1, enable_tracing/0, disable_tracing/0,
         get_traces/0, clear_traces/0]).

-type name() :: terrarium_config:name().
-type target() :: py_context:context() | atom().
%% A context, or the name of a pool.

%%% Running Python

%% @doc Call `Module.Function(*Args)'.
-spec call(name(), name(), [term()]) -> py_context:result().
call(Module, Function, Args) ->
    call(Module, Function, Args, #{}, terrarium_config:get(call_timeout)).

%% @doc Either `call(Module, Function, Args, Kwargs)', or
%% `call(ContextOrPool, Module, Function, Args)'.
-spec call(name() | target(), name(), name() | [term()], map() | [term()]) ->
    py_context:result().
call(Module, Function, Args, Kwargs) when is_map(Kwargs) ->
    call(Module, Function, Args, Kwargs, terrarium_config:get(call_timeout));
call(Context, Module, Function, Args) when is_pid(Context) ->
    py_context:call(Context, Module, Function, Args);
call(Pool, Module, Function, Args) when is_atom(Pool) ->
    call(Pool, Module, Function, Args, #{});
call(_, _, _, Args) ->
    {error, {invalid, kwargs, Args}}.

%% @doc Either `call(Module, Function, Args, Kwargs, Timeout)', or
%% `call(ContextOrPool, Module, Function, Args, Options)' with the options
%% `kwargs', `timeout', `return' (`term' or `ref'), `errors' (`pair' or `map'),
%% `output' (`stream' or `capture') and `output_max'.
-spec call(name() | target(), name(), name() | [term()], map() | [term()],
           timeout() | py_context:call_options()) -> py_context:result().
call(Module, Function, Args, Kwargs, Timeout) when is_map(Kwargs) ->
    case py_place:route(Module, Function) of
        {ok, Context} ->
            py_context:call(Context, Module, Function, Args, Kwargs, Timeout);
        Place ->
            Run = fun(C) -> py_context:call(C, Module, Function, Args, Kwargs, Timeout) end,
            py_place:limited(Place, Run)
    end;
call(Context, Module, Function, Args, Options) when is_pid(Context) ->
    py_context:call(Context, Module, Function, Args, #{}, Options);
call(Pool, Module, Function, Args, Options) when is_atom(Pool) ->
    Timed = timed(Options, call_timeout),
    routed(Pool, fun(Context) ->
                         py_context:call(Context, Module, Function, Args, #{}, Timed)
                 end);
call(_, _, _, Args, _) ->
    {error, {invalid, kwargs, Args}}.

%% @doc The value of an expression.
-spec eval(name()) -> py_context:result().
eval(Code) ->
    eval_in(default, Code, #{}, terrarium_config:get(call_timeout)).

%% @doc Either `eval(Code, Locals)' or `eval(ContextOrPool, Code)'.
-spec eval(name() | target(), map() | name()) -> py_context:result().
eval(Code, Locals) when is_map(Locals) ->
    eval_in(default, Code, Locals, terrarium_config:get(call_timeout));
eval(Context, Code) when is_pid(Context) ->
    py_context:eval(Context, Code);
eval(Pool, Code) when is_atom(Pool) ->
    eval_in(Pool, Code, #{}, terrarium_config:get(call_timeout));
eval(_, Locals) ->
    {error, {invalid, locals, Locals}}.

%% @doc Either `eval(Code, Locals, Timeout)' or `eval(ContextOrPool, Code,
%% Locals)'.  The names in `Locals' are bound for this expression only.
-spec eval(name() | target(), map() | name(), timeout() | map()) -> py_context:result().
eval(Code, Locals, Timeout) when is_map(Locals) ->
    eval_in(default, Code, Locals, timed(Timeout, call_timeout));
eval(Context, Code, Locals) when is_pid(Context) ->
    py_context:eval(Context, Code, Locals);
eval(Pool, Code, Locals) when is_atom(Pool) ->
    eval_in(Pool, Code, Locals, terrarium_config:get(call_timeout));
eval(_, Locals, _) ->
    {error, {invalid, locals, Locals}}.

eval_in(Pool, Code, Locals, Options) ->
    routed(Pool, fun(Context) -> py_context:eval(Context, Code, Locals, Options) end).

%% @doc Run statements in the namespace of the caller's context.
-spec exec(name()) -> ok | {ok, map()} | {error, term()}.
exec(Code) ->
    exec(default, Code).

%% @doc Run statements in the namespace of a context, or of the caller's
%% context of a pool.
-spec exec(target(), name()) -> ok | {ok, map()} | {error, term()}.
exec(Target, Code) ->
    exec(Target, Code, #{}).

%% @doc The same with options.
-spec exec(target(), name(), py_context:call_options()) -> ok | {ok, map()} | {error, term()}.
exec(Context, Code, Options) when is_pid(Context) ->
    py_context:exec(Context, Code, timed(Options, exec_timeout));
exec(Pool, Code, Options) when is_atom(Pool) ->
    Timed = timed(Options, exec_timeout),
    routed(Pool, fun(Context) -> py_context:exec(Context, Code, Timed) end);
exec(Target, _, _) ->
    {error, {invalid, context, Target}}.

routed(Pool, Run) ->
    py_place:limited(py_place:find(Pool), Run).

timed(Options, Key) when is_map(Options), not is_map_key(timeout, Options) ->
    Options#{timeout => terrarium_config:get(Key)};
timed(Options, _) ->
    Options.

%%% Without waiting

%% @doc Begin `Module.Function(*Args)' and do not wait for it.  The answer comes
%% as `{py_response, Ref, Result}', to this process, once; {@link await/2}
%% receives it.  See docs/async.md.
-spec cast(name(), name(), [term()]) -> reference().
cast(Module, Function, Args) ->
    cast_form([Module, Function, Args]).

%% @doc Either `cast(Module, Function, Args, Kwargs)' or
%% `cast(ContextOrPool, Module, Function, Args)'.
-spec cast(name() | target(), name(), name() | [term()], map() | [term()]) -> reference().
cast(A, B, C, D) ->
    cast_form([A, B, C, D]).

%% @doc Either `cast(Module, Function, Args, Kwargs, Options)' or
%% `cast(ContextOrPool, Module, Function, Args, Options)', where options are a
%% timeout, or those of `call/5' and `reply': with `false' no message is sent.
-spec cast(name() | target(), name(), name() | [term()], map() | [term()],
           timeout() | map()) -> reference().
cast(A, B, C, D, E) ->
    cast_form([A, B, C, D, E]).

cast_form(Parts) ->
    py_cast:form(Parts, 0, py_response).

%% @equiv cast(Module, Function, Args)
-spec spawn_call(name(), name(), [term()]) -> reference().
spawn_call(Module, Function, Args) ->
    cast_form([Module, Function, Args]).

%% @doc The same as `cast/4'.
-spec spawn_call(name() | target(), name(), name() | [term()], map() | [term()]) ->
    reference().
spawn_call(A, B, C, D) ->
    cast_form([A, B, C, D]).

%% @doc The same as `cast/5'.
-spec spawn_call(name() | target(), name(), name() | [term()], map() | [term()],
                 timeout() | map()) -> reference().
spawn_call(A, B, C, D, E) ->
    cast_form([A, B, C, D, E]).

%% @doc Wait for the answer of a cast, for as long as a call may take.
-spec await(reference()) -> py_context:result().
await(Ref) ->
    await(Ref, terrarium_config:get(call_timeout)).

%% @doc The same with a timeout, which ends the call.  Once there was an answer,
%% or a timeout, nothing comes any more; `{error, {invalid, ref, Ref}}' then.
-spec await(reference(), timeout()) -> py_context:result().
await(Ref, Timeout) ->
    py_cast:await(Ref, Timeout, py_response).

%% @doc Make these calls at once, in the contexts of the default pool in turn:
%% their values in order, or the first error, in this order; the calls that are
%% under way then are ended.
-spec parallel([{name(), name(), [term()]} | {name(), name(), [term()], map()}]) ->
    {ok, [term()]} | {error, term()}.
parallel(Calls) ->
    py_parallel:run(Calls).

%%% Coroutines

%% @doc Call a coroutine function; the event loop of the context awaits what it
%% returns, beside other requests and other coroutines.  {@link async_await/2}
%% receives the value.  See docs/async.md.
-spec async_call(name(), name(), [term()]) -> reference().
async_call(Module, Function, Args) ->
    py_event_loop:start([Module, Function, Args], py_response).

%% @doc Either `async_call(Module, Function, Args, Kwargs)' or
%% `async_call(ContextOrPool, Module, Function, Args)'.
-spec async_call(name() | target(), name(), name() | [term()], map() | [term()]) ->
    reference().
async_call(A, B, C, D) ->
    py_event_loop:start([A, B, C, D], py_response).

%% @doc Either of these with a timeout or options, as `cast/5'.
-spec async_call(name() | target(), name(), name() | [term()], map() | [term()],
                 timeout() | map()) -> reference().
async_call(A, B, C, D, E) ->
    py_event_loop:start([A, B, C, D, E], py_response).

%% @doc Wait for what a coroutine returns.
-spec async_await(reference()) -> py_context:result().
async_await(Ref) ->
    await(Ref).

%% @doc The same with a timeout; then the coroutine is cancelled.
-spec async_await(reference(), timeout()) -> py_context:result().
async_await(Ref, Timeout) ->
    await(Ref, Timeout).

%% @doc Run these coroutines at once, on the event loop of the caller's context:
%% their values in order, or all that went wrong, by place (from 1).
-spec async_gather(py_parallel:calls()) -> py_context:result().
async_gather(Calls) ->
    async_gather(default, Calls, terrarium_config:get(call_timeout)).

%% @doc Either `async_gather(Calls, Timeout)', all within this time, or
%% `async_gather(ContextOrPool, Calls)'.
-spec async_gather(py_parallel:calls() | target(), timeout() | py_parallel:calls()) ->
    py_context:result().
async_gather(Calls, Timeout) when is_list(Calls) ->
    async_gather(default, Calls, Timeout);
async_gather(Target, Calls) ->
    async_gather(Target, Calls, terrarium_config:get(call_timeout)).

%% @doc The same with both.
-spec async_gather(target(), py_parallel:calls(), timeout()) -> py_context:result().
async_gather(Target, Calls, Timeout) ->
    py_parallel:gather(Target, Calls, Timeout).

%%% Iterators

%% @doc All that the iterator yields which `Module.Function(*Args)' returns: a
%% generator, sync or async, or anything else that can be iterated over.  See
%% docs/streams.md.
-spec stream(name(), name(), [term()]) -> {ok, [term()]} | {error, term()}.
stream(Module, Function, Args) ->
    stream_form([Module, Function, Args]).

%% @doc Either `stream(Module, Function, Args, Kwargs)' or
%% `stream(ContextOrPool, Module, Function, Args)'.
-spec stream(name() | target(), name(), name() | [term()], map() | [term()]) ->
    {ok, [term()]} | {error, term()}.
stream(A, B, C, D) ->
    stream_form([A, B, C, D]).

%% @doc Either of these with a timeout or options, as `call/5'.
-spec stream(name() | target(), name(), name() | [term()], map() | [term()],
             timeout() | map()) -> {ok, [term()]} | {error, term()}.
stream(A, B, C, D, E) ->
    stream_form([A, B, C, D, E]).

stream_form(Parts) ->
    case py_forms:parse(Parts) of
        {ok, Form} ->
            {Context, Request} = py_forms:prepare(Form, 0),
            py_stream:collect(Context, Request);
        {error, _} = Error ->
            Error
    end.

%% @doc All that the value of an expression yields.
-spec stream_eval(name()) -> {ok, [term()]} | {error, term()}.
stream_eval(Code) ->
    stream_eval(default, Code, #{}).

%% @doc Either `stream_eval(Code, Locals)' or `stream_eval(ContextOrPool,
%% Code)'.
-spec stream_eval(name() | target(), map() | name()) -> {ok, [term()]} | {error, term()}.
stream_eval(Code, Locals) when is_map(Locals) ->
    stream_eval(default, Code, Locals);
stream_eval(Target, Code) ->
    stream_eval(Target, Code, #{}).

stream_eval(Target, Code, Locals) ->
    Options = case is_pid(Target) of
                  true -> infinity;
                  false -> terrarium_config:get(call_timeout)
              end,
    Place = py_forms:context(Target),
    py_stream:collect(Place, py_prepare:eval(py_place:near(Place), Code, Locals, Options)).

%% @doc Send what an iterator yields to this process: `{py_stream, Ref, {data,
%% Item}}' for each item, then `{py_stream, Ref, done}' or `{py_stream, Ref,
%% {error, Reason}}'.  No more than some messages are ever unread.
-spec stream_start(name(), name(), [term()]) -> {ok, reference()} | {error, term()}.
stream_start(Module, Function, Args) ->
    stream_start_form([Module, Function, Args], #{}).

%% @doc Either `stream_start(Module, Function, Args, Options)' or
%% `stream_start(ContextOrPool, Module, Function, Args)'.
-spec stream_start(name() | target(), name(), name() | [term()], map() | [term()]) ->
    {ok, reference()} | {error, term()}.
stream_start(Module, Function, Args, Options) when is_map(Options) ->
    stream_start_form([Module, Function, Args], Options);
stream_start(Target, Module, Function, Args) ->
    stream_start_form([Target, Module, Function, Args], #{}).

%% @doc With the options `kwargs', `timeout' (for each request; none),
%% `errors', `owner' (who gets the messages), `window' (how many may be unread;
%% 100) and `batch' (how many items may come together; 32).
-spec stream_start(target(), name(), name(), [term()], map()) ->
    {ok, reference()} | {error, term()}.
stream_start(Target, Module, Function, Args, Options) ->
    stream_start_form([Target, Module, Function, Args], Options).

stream_start_form(Parts, Options) when is_map(Options) ->
    Own = maps:with([owner, window, batch], Options),
    case py_forms:parse(Parts) of
        {ok, {Target, M, F, A, Kw, _}} ->
            Rest = maps:merge(#{timeout => infinity}, maps:without(maps:keys(Own), Options)),
            {Context, Request} = py_forms:prepare({Target, M, F, A, Kw, Rest}, 0),
            py_stream:start(Context, Request, Own);
        {error, _} = Error ->
            Error
    end;
stream_start_form(_, Options) ->
    {error, {invalid, options, Options}}.

%% @doc End a stream.  Its generator is closed; what it has sent to this process
%% and was not read is removed.
-spec stream_cancel(reference()) -> ok | {error, term()}.
stream_cancel(Ref) when is_reference(Ref) ->
    py_stream:cancel(Ref);
stream_cancel(Ref) ->
    {error, {invalid, ref, Ref}}.

%%% Objects that stay in Python

%% @doc Call a method of an object that a call with `return => ref' left in
%% Python.
-spec call_method(py_ref:t(), name(), [term()]) -> py_context:result().
call_method(Ref, Name, Args) ->
    on_ref(Ref, fun(Context) -> py_context:call_method(Context, Ref, Name, Args) end).

%% @doc The same with a timeout or the options of `call/5'.
-spec call_method(py_ref:t(), name(), [term()], py_context:call_options()) ->
    py_context:result().
call_method(Ref, Name, Args, Options) ->
    on_ref(Ref, fun(Context) -> py_context:call_method(Context, Ref, Name, Args, Options) end).

%% @doc An attribute of such an object.
-spec getattr(py_ref:t(), name()) -> py_context:result().
getattr(Ref, Name) ->
    on_ref(Ref, fun(Context) -> py_context:getattr(Context, Ref, Name) end).

%% @doc The same with a timeout or the options of `call/5'.
-spec getattr(py_ref:t(), name(), py_context:call_options()) -> py_context:result().
getattr(Ref, Name, Options) ->
    on_ref(Ref, fun(Context) -> py_context:getattr(Context, Ref, Name, Options) end).

on_ref(Ref, Run) ->
    case py_ref:is_ref(Ref) of
        true -> Run(py_ref:context(Ref));
        false -> {error, {invalid, ref, Ref}}
    end.

%% @doc The value of such an object.
-spec to_term(py_ref:t()) -> py_context:result().
to_term(Ref) ->
    py_context:to_term(Ref).

%% @doc Is this a reference to an object in Python?
-spec is_ref(term()) -> boolean().
is_ref(Term) ->
    py_ref:is_ref(Term).

%%% Functions that Python may call

%% @doc Let Python call this function as `erlang.Name(...)'.  It gets the list of
%% arguments, and if it takes two also the map of keyword arguments, whose keys
%% are binaries.  It runs in the process whose request Python is working on:
%% ```
%% ok = py:register_function(add, fun([A, B]) -> A + B end).
%% {ok, 3} = py:eval("__import__('erlang').add(1, 2)").
%% '''
%% A name that is in use is given to the new function.
-spec register_function(name(), fun(([term()]) -> term()) | fun(([term()], map()) -> term())) ->
    ok | {error, term()}.
register_function(Name, Fun) ->
    py_callback:register(Name, Fun).

%% @doc The same for an exported function, which is looked up at each call.
-spec register_function(name(), module(), atom()) -> ok | {error, term()}.
register_function(Name, Module, Function) ->
    py_callback:register(Name, Module, Function).

%% @doc Python can not call it any more; fine if it could not.
-spec unregister_function(name()) -> ok.
unregister_function(Name) ->
    py_callback:unregister(Name).

%%% State that Erlang and Python share

%% @doc The value of a key.
-spec state_fetch(term()) -> {ok, term()} | {error, not_found | not_started}.
state_fetch(Key) ->
    py_state:fetch(Key).

%% @doc Store a value, for Python's `erlang.state_get' too.  A name is one key
%% whether it is an atom, a binary or a string.
-spec state_store(term(), term()) -> ok | {error, {state_full, pos_integer()} | not_started}.
state_store(Key, Value) ->
    py_state:store(Key, Value).

%% @doc Remove a key; fine if it is not there.
-spec state_remove(term()) -> ok | {error, term()}.
state_remove(Key) ->
    py_state:remove(Key).

%% @doc All keys; names are binaries.
-spec state_keys() -> [term()] | {error, term()}.
state_keys() ->
    py_state:keys().

%% @doc Remove all keys.
-spec state_clear() -> ok | {error, term()}.
state_clear() ->
    py_state:clear().

%% @doc Add one to a counter, and get its new value.
-spec state_incr(term()) -> integer() | {error, term()}.
state_incr(Key) ->
    py_state:incr(Key).

%% @doc Add to a counter.  A value that is not an integer stays as it is:
%% `{error, {not_an_integer, Key}}'.
-spec state_incr(term(), integer()) -> integer() | {error, term()}.
state_incr(Key, By) ->
    py_state:incr(Key, By).

%% @doc Subtract one from a counter, and get its new value.
-spec state_decr(term()) -> integer() | {error, term()}.
state_decr(Key) ->
    py_state:decr(Key).

%% @doc Subtract from a counter.
-spec state_decr(term(), integer()) -> integer() | {error, term()}.
state_decr(Key, By) ->
    py_state:decr(Key, By).

%% @doc A dictionary for Erlang and Python, which goes with the calling process.
-spec shared_dict_new() -> {ok, py_shared_dict:handle()}.
shared_dict_new() ->
    py_shared_dict:new().

%% @doc The value of a key; `undefined' if it has none.
-spec shared_dict_get(py_shared_dict:handle(), term()) -> term() | {error, term()}.
shared_dict_get(Dict, Key) ->
    py_shared_dict:get(Dict, Key).

%% @doc The value of a key, or the default.
-spec shared_dict_get(py_shared_dict:handle(), term(), term()) -> term() | {error, term()}.
shared_dict_get(Dict, Key, Default) ->
    py_shared_dict:get(Dict, Key, Default).

%% @doc Set the value of a key.
-spec shared_dict_set(py_shared_dict:handle(), term(), term()) -> ok | {error, term()}.
shared_dict_set(Dict, Key, Value) ->
    py_shared_dict:set(Dict, Key, Value).

%% @doc Remove a key; fine if it is not there.
-spec shared_dict_del(py_shared_dict:handle(), term()) -> ok | {error, term()}.
shared_dict_del(Dict, Key) ->
    py_shared_dict:del(Dict, Key).

%% @doc All keys; names are binaries.
-spec shared_dict_keys(py_shared_dict:handle()) -> [term()] | {error, term()}.
shared_dict_keys(Dict) ->
    py_shared_dict:keys(Dict).

%% @doc Give it up before its owner ends; fine if it is no more.
-spec shared_dict_destroy(py_shared_dict:handle()) -> ok | {error, term()}.
shared_dict_destroy(Dict) ->
    py_shared_dict:destroy(Dict).

%%% Contexts

%% @doc The context that a call by this process goes to now.
-spec context() -> py_context:context() | {error, term()}.
context() ->
    bare(py_context_router:get_context()).

%% @doc The N-th context of the default pool, from 1.
-spec context(pos_integer()) -> py_context:context() | {error, term()}.
context(N) ->
    bare(py_context_router:nth(default, N)).

bare({ok, Context}) -> Context;
bare({error, _} = Error) -> Error.

%% @doc Start the default pool; fine if it runs.
-spec start_contexts() -> {ok, [py_context:context()]} | {error, term()}.
start_contexts() ->
    py_context_router:start().

%% @doc The same with options: `contexts' (how many), and those of contexts.
-spec start_contexts(map()) -> {ok, [py_context:context()]} | {error, term()}.
start_contexts(Options) ->
    py_context_router:start(Options).

%% @doc Stop the default pool.
-spec stop_contexts() -> ok.
stop_contexts() ->
    py_context_router:stop().

%% @doc Does the default pool run?
-spec contexts_started() -> boolean().
contexts_started() ->
    py_context_router:is_started().

%% @doc Interrupt what runs in a context.
-spec interrupt(py_context:context()) -> ok | {error, term()}.
interrupt(Context) when is_pid(Context) ->
    py_context:interrupt(Context);
interrupt(Other) ->
    {error, {invalid, context, Other}}.

%% @doc Let calls of this module, or of this function, that name neither a
%% context nor a pool go to that pool.  What is registered for a function goes
%% before what is registered for its module.
-spec register_pool(atom(), name() | {name(), name()}) -> ok | {error, term()}.
register_pool(Pool, {Module, Function}) ->
    py_context_router:register_pool(Pool, Module, Function);
register_pool(Pool, Module) ->
    py_context_router:register_pool(Pool, Module).

%% @doc Let them go to the default pool again.
-spec unregister_pool(name() | {name(), name()}) -> ok | {error, term()}.
unregister_pool({Module, Function}) ->
    py_context_router:unregister_pool(Module, Function);
unregister_pool(Module) ->
    py_context_router:unregister_pool(Module).

%%% Virtual environments

%% @doc The same as {@link ensure_venv/3} without options.
-spec ensure_venv(file:name_all(), py_venv:requirements()) -> ok | {error, term()}.
ensure_venv(Path, Requirements) ->
    ensure_venv(Path, Requirements, #{}).

%% @doc Make this virtual environment if it is not there, install what is
%% required if that has changed since, and let the default pool use it.
%%
%% `Requirements' is a file of requirements, a project (its directory or its
%% `pyproject.toml'), or a list of requirements.  Options, as a map or a list:
%% <dl>
%% <dt>`installer'</dt><dd>`pip' (default) or `uv'</dd>
%% <dt>`extras'</dt><dd>of the project</dd>
%% <dt>`python'</dt><dd>version or path of the interpreter; by default that of
%%   the default runtime</dd>
%% <dt>`force'</dt><dd>remove the environment first</dd>
%% <dt>`args', `env'</dt><dd>further arguments of the installer, and variables
%%   for it</dd>
%% <dt>`progress'</dt><dd>a function that gets each line of output, or `none';
%%   by default lines go to the group leader</dd>
%% <dt>`timeout'</dt><dd>milliseconds for each program that is run</dd>
%% <dt>`activate', `pool'</dt><dd>whether a pool shall use it, and which</dd>
%% </dl>
-spec ensure_venv(file:name_all(), py_venv:requirements(), py_venv:options()) ->
    ok | {error, term()}.
ensure_venv(Path, Requirements, Options) ->
    py_venv:ensure(Path, Requirements, Options).

%% @doc Let the default pool use this virtual environment.  Its contexts get
%% fresh helpers, one after the other, with no failed call.
-spec activate_venv(file:name_all()) -> ok | {error, term()}.
activate_venv(Path) ->
    py_venv:activate(Path, default).

%% @doc Let the default pool use the Python again that it had.
-spec deactivate_venv() -> ok | {error, term()}.
deactivate_venv() ->
    py_venv:deactivate(default).

%% @doc Where the Python of the default pool is: `active', and if so `venv_path',
%% then `python', `version', `base_path', `site_packages', `sys_path'; the keys are
%% binaries.
-spec venv_info() -> {ok, map()} | {error, term()}.
venv_info() ->
    venv_info(default).

%% @doc The same for another pool.
-spec venv_info(atom()) -> {ok, map()} | {error, term()}.
venv_info(Pool) ->
    py_venv:info(Pool).

%%% Looking at it

%% @doc Which layers of a sandbox contexts of the levels `default' and `strict' get
%% here, see {@link py_sandbox:info/1}.
-spec sandbox_info() -> {ok, map()} | {error, term()}.
sandbox_info() ->
    py_sandbox:info().

%% @doc The version of the Python in the default pool.
-spec version() -> {ok, binary()} | {error, term()}.
version() ->
    call(platform, python_version, []).

%% @doc All that is known about the last error that a call in this process
%% returned: `type', `module', `message', `traceback', `frames', `cause',
%% `context', `notes', for an interrupted request `stack', for a crash
%% `report', where output was captured `stdout' and `stderr'; `none' where there
%% was no error.
-spec last_error() -> map() | none.
last_error() ->
    py_answer:last_error().

%% @doc How Python runs: in processes of its own.
-spec execution_mode() -> process.
execution_mode() ->
    process.

%% @doc Numbers about all pools: `#{pools => #{Name => Numbers}, total =>
%% Numbers}', see {@link stats/1}.
-spec stats() -> #{pools := #{atom() => map()}, total := map()}.
stats() ->
    Infos = maps:from_list([{Name, py_context_router:infos(Name)}
                            || Name <- py_context_router:pools()]),
    #{pools => maps:map(fun pool_stats/2, Infos),
      total => py_context_stats:summary(lists:append(maps:values(Infos)))}.

%% @doc Numbers about one pool, summed over its contexts since they began, or
%% about one context: `requests', `answers', `errors', `cancelled', `interrupts',
%% `callbacks', `bytes_in', `bytes_out'; `crashes', `restarts', `renewals';
%% `contexts', `ready' (how many can serve now), `queue' (requests not answered
%% now); `rss' in bytes, `user_ms' and `system_ms' of processor time of the
%% helpers that live now; `latency', a list of `{BelowMicroseconds, Count}', and
%% from it `p50_us' and `p99_us' (upper bounds, `none' without requests).
-spec stats(target()) -> {ok, map()} | {error, term()}.
stats(Context) when is_pid(Context) ->
    case py_context:info(Context) of
        {ok, Info} -> {ok, py_context_stats:summary([Info])};
        {error, _} = Error -> Error
    end;
stats(Pool) ->
    case py_context_router:pool_started(Pool) of
        true -> {ok, pool_stats(Pool, py_context_router:infos(Pool))};
        false -> {error, {no_pool, Pool}}
    end.

pool_stats(Pool, Infos) ->
    maps:merge(py_context_stats:summary(Infos), py_place:calls(Pool)).

%%% Logs and traces

%% @doc Let Python's `logging' go to Erlang's `logger', from its primary level on, in
%% all contexts there are and will be.
-spec configure_logging() -> ok | {error, term()}.
configure_logging() ->
    py_logger:configure().

%% @doc The same with options: `level', and one of `context', `pool', `runtime'.
-spec configure_logging(py_logger:options()) -> ok | {error, term()}.
configure_logging(Options) ->
    py_logger:configure(Options).

%% @doc From now on spans of Python code are recorded.
-spec enable_tracing() -> ok | {error, not_started}.
enable_tracing() ->
    py_tracer:enable().

%% @doc And not any more.
-spec disable_tracing() -> ok | {error, not_started}.
disable_tracing() ->
    py_tracer:disable().

%% @doc The spans that are recorded; at most `max_traces' of the configuration, the
%% last ones.
-spec get_traces() -> {ok, [py_tracer:span()]} | {error, not_started}.
get_traces() ->
    py_tracer:get_traces().

%% @doc Forget them.
-spec clear_traces() -> ok | {error, not_started}.
clear_traces() ->
    py_tracer:clear().

%%% Descriptors

%% @doc A copy of a descriptor of the VM (a number, as `inet:getfd/1' has it), which is
%% the caller's: to hand over with `py_reactor_context:handoff/3', or to close.
-spec dup_fd(non_neg_integer()) -> {ok, pos_integer()} | {error, term()}.
dup_fd(Fd) ->
    py_fd:dup(Fd).

%% @doc Close such a copy, if nobody has got it.  The VM knows nothing of numbers: only
%% close what `dup_fd/1' has made.
-spec close_fd(pos_integer()) -> ok | {error, term()}.
close_fd(Fd) ->
    py_fd:close(Fd).

%%% Maintenance

%% @doc Where the Python of a context stands right now, all threads, as text:
%% ```
%% {ok, Text} = py:backtrace(Context).
%% '''
%% Works while it is busy, and does not disturb it.
-spec backtrace(py_context:context()) -> {ok, binary()} | {error, term()}.
backtrace(Context) when is_pid(Context) ->
    py_context:backtrace(Context);
backtrace(Other) ->
    {error, {invalid, context, Other}}.

%% @doc The memory of the default pool: sums, and under `contexts' each of them.
-spec memory_stats() -> {ok, map()} | {error, term()}.
memory_stats() ->
    py_maintenance:memory_stats().

%% @equiv gc(2)
-spec gc() -> {ok, non_neg_integer()} | {error, term()}.
gc() ->
    gc(2).

%% @doc Run Python's collector in all contexts of the default pool; how many objects
%% it found.
-spec gc(0..2) -> {ok, non_neg_integer()} | {error, term()}.
gc(Generation) ->
    py_maintenance:gc(Generation).

%% @equiv tracemalloc_start(1)
-spec tracemalloc_start() -> ok | {error, term()}.
tracemalloc_start() ->
    tracemalloc_start(1).

%% @doc Trace allocations in all contexts of the default pool, with so many frames.
-spec tracemalloc_start(1..65535) -> ok | {error, term()}.
tracemalloc_start(Frames) ->
    py_maintenance:tracemalloc_start(Frames).

%% @doc And no longer.
-spec tracemalloc_stop() -> ok | {error, term()}.
tracemalloc_stop() ->
    py_maintenance:tracemalloc_stop().

%% @doc Reload a module in those contexts of the default pool that have it; what was
%% done in each.
-spec reload(name()) -> {ok, #{py_context:context() => reloaded | not_loaded}} | {error, term()}.
reload(Module) ->
    py_maintenance:reload(Module).
