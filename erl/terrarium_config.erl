%% SPDX-License-Identifier: Apache-2.0
%% @doc The application environment, read and validated once at start.
%%
%% Every key has a default and a check; the first value that fails its check
%% is reported as `{error, {invalid, Key, Value}}', and so is a key that does
%% not exist (a misspelt key is worse than none).  The checked map is kept in a
%% persistent term, so that reading a value costs next to nothing.
-module(terrarium_config).

-export([load/0, validate/1, store/1, forget/0, get/1, defaults/0]).
-export([check/2, valid_restart/1, name/1, names/1, text_map/1, path/1]).

-export_type([config/0, runtime/0, restart/0, name/0]).

-include("port/py_wire.hrl").

%% Of one pool.
-define(MOST_CONTEXTS, 4096).

-type name() :: atom() | binary() | string().
%% How modules, functions, attributes and code may be written.

-type restart() :: #{free := non_neg_integer(), min_backoff := pos_integer(),
                     max_backoff := pos_integer(), stable_ms := non_neg_integer()}.
%% `free' restarts come at once; then the pause doubles from `min_backoff' to
%% `max_backoff' (milliseconds).  Having lived `stable_ms' forgives all.

-type runtime() :: #{python => binary(), venv => binary(), preload => [binary()],
                     paths => [binary()], spares => non_neg_integer(),
                     env => #{binary() => binary()}}.
%% One zygote: which Python, what it has imported before it forks.

-type config() :: #{atom() => term()}.
%% All keys, checked.

%% @doc The checked environment of the application.
-spec load() -> {ok, config()} | {error, {invalid, atom(), term()}}.
load() ->
    Env = application:get_all_env(terrarium),
    validate(proplists:delete(included_applications, Env)).

%% @doc Check a list of settings and fill in the defaults.
-spec validate([{atom(), term()}]) -> {ok, config()} | {error, {invalid, atom(), term()}}.
validate(Env) ->
    validate(Env, defaults()).

validate([], Config) ->
    {ok, Config};
validate([{Key, Value} | Rest], Config) ->
    case check(Key, Value) of
        {ok, Good} -> validate(Rest, Config#{Key => Good});
        error -> {error, {invalid, Key, Value}}
    end.

%% @doc Make this the configuration that `get/1' answers from.
-spec store(config()) -> ok.
store(Config) ->
    persistent_term:put(?MODULE, Config).

%% @doc The application has ended.
-spec forget() -> ok.
forget() ->
    _ = persistent_term:erase(?MODULE),
    ok.

%% @doc The value of a key; its default while the application does not run.
-spec get(atom()) -> term().
get(Key) ->
    case persistent_term:get(?MODULE, none) of
        none -> maps:get(Key, defaults());
        Config -> maps:get(Key, Config)
    end.

%% @doc The values that hold where the environment says nothing.
-spec defaults() -> config().
defaults() ->
    #{runtimes => #{default => #{}},
      contexts => auto,
      start_contexts => true,
      pools => #{},
      distribute => true,
      call_timeout => 30000,
      exec_timeout => infinity,
      grace_ms => 1000,
      policy => py_policy:trusted(),
      start_timeout => 30000,
      stop_timeout => 5000,
      max_frame => 268435456,
      max_depth => 1000,
      lane => true,
      spin_us => ?WIRE_SPIN_US,
      restart => default_restart(),
      log_output => true,
      state_max => 100000,
      max_concurrent => auto,
      max_traces => 1000}.

default_restart() ->
    #{free => 3, min_backoff => 50, max_backoff => 5000, stable_ms => 1000}.

%% @doc Check one value: `{ok, Normalised}' or `error'.
-spec check(atom(), term()) -> {ok, term()} | error.
check(runtimes, Map) when is_map(Map), map_size(Map) > 0 -> runtimes(Map);
check(contexts, auto) -> {ok, auto};
check(contexts, N) -> pos(N, ?MOST_CONTEXTS);
check(start_contexts, B) when is_boolean(B) -> {ok, B};
check(pools, Map) when is_map(Map) -> pools(Map);
check(distribute, B) when is_boolean(B) -> {ok, B};
check(call_timeout, T) -> wait(T);
check(exec_timeout, T) -> wait(T);
check(policy, P) ->
    case py_policy:check(P) of
        {ok, _} = Good -> Good;
        {error, _} -> error
    end;
check(grace_ms, T) -> non_neg(T, 16#ffffffff);
check(start_timeout, T) -> pos(T, 16#ffffffff);
check(stop_timeout, T) -> pos(T, 600000);
check(max_frame, N) when is_integer(N), N >= 4096 -> pos(N, 2147483647);
check(max_depth, N) -> pos(N, 1000);
check(lane, B) when is_boolean(B) -> {ok, B};
check(spin_us, N) -> non_neg(N, ?WIRE_MAX_SPIN_US);
check(restart, Map) -> valid_restart(Map);
check(log_output, B) when is_boolean(B) -> {ok, B};
check(state_max, N) -> pos(N, 1 bsl 40);
check(max_concurrent, auto) -> {ok, auto};
check(max_concurrent, N) -> pos(N, 1 bsl 40);
check(max_traces, N) -> pos(N, 1000000);
check(_, _) -> error.

pos(N, Max) when is_integer(N), N > 0, N =< Max -> {ok, N};
pos(_, _) -> error.

non_neg(N, Max) when is_integer(N), N >= 0, N =< Max -> {ok, N};
non_neg(_, _) -> error.

wait(infinity) -> {ok, infinity};
wait(T) -> non_neg(T, 16#ffffffff).

%% @doc Check a restart policy; keys left out take their defaults.
-spec valid_restart(term()) -> {ok, restart()} | error.
valid_restart(Map) when is_map(Map) ->
    Full = maps:merge(default_restart(), Map),
    Known = maps:size(Full) =:= maps:size(default_restart()),
    Numbers = lists:all(fun(V) -> is_integer(V) andalso V >= 0 end, maps:values(Full)),
    case Known andalso Numbers andalso Full of
        #{min_backoff := Min, max_backoff := Max} when Min > 0, Max >= Min -> {ok, Full};
        _ -> error
    end;
valid_restart(_) ->
    error.

runtimes(Map) ->
    map_all(fun(Name, Options) -> is_atom(Name) andalso runtime(Options) end, Map).

runtime(Options) when is_map(Options) ->
    map_all(fun runtime_key/2, Options);
runtime(_) ->
    error.

runtime_key(python, V) -> path(V);
runtime_key(venv, V) -> path(V);
runtime_key(preload, V) -> names(V);
runtime_key(paths, V) -> paths(V);
runtime_key(spares, V) -> non_neg(V, 64);
runtime_key(env, V) -> text_map(V);
runtime_key(_, _) -> error.

%% The other options of a pool are those of its contexts; they are checked
%% where the pool is started.
pools(Map) ->
    map_all(fun(Name, #{size := N} = Options) when is_atom(Name) ->
                    case pos(N, ?MOST_CONTEXTS) of
                        {ok, _} -> {ok, Options};
                        error -> error
                    end;
               (_, _) ->
                    error
            end, Map).

%% Check every pair: {ok, Map of the good values}, or error.
map_all(Check, Map) ->
    maps:fold(fun(_, _, error) -> error;
                 (Key, Value, {ok, Acc}) ->
                      case Check(Key, Value) of
                          {ok, Good} -> {ok, Acc#{Key => Good}};
                          _ -> error
                      end
              end, {ok, #{}}, Map).

paths(List) when is_list(List) -> list_all(fun path/1, List);
paths(_) -> error.

%% @doc A list of names as binaries.
-spec names(term()) -> {ok, [binary()]} | error.
names(List) when is_list(List) -> list_all(fun name/1, List);
names(_) -> error.

list_all(_, []) ->
    {ok, []};
list_all(Check, [H | T]) ->
    case {Check(H), list_all(Check, T)} of
        {{ok, Good}, {ok, Rest}} -> {ok, [Good | Rest]};
        _ -> error
    end;
list_all(_, _Improper) ->
    error.

%% @doc A file name as binary; it must not be empty nor hold a NUL.
-spec path(term()) -> {ok, binary()} | error.
path(V) when is_atom(V) -> error;
path(V) -> name(V).

%% @doc A name (atom, binary or string) as a binary of UTF-8 without NUL.
-spec name(term()) -> {ok, binary()} | error.
name(V) when is_atom(V) ->
    no_nul(atom_to_binary(V, utf8));
name(V) when is_binary(V); is_list(V) ->
    try unicode:characters_to_binary(V) of
        B when is_binary(B) -> no_nul(B);
        _ -> error
    catch
        error:badarg -> error
    end;
name(_) ->
    error.

no_nul(<<>>) -> error;
no_nul(B) ->
    case binary:match(B, <<0>>) of
        nomatch -> {ok, B};
        _ -> error
    end.

%% @doc A map of names to texts, as binaries: environment variables.
-spec text_map(term()) -> {ok, #{binary() => binary()}} | error.
text_map(Map) when is_map(Map) ->
    Pairs = [{name(K), text(V)} || {K, V} <- maps:to_list(Map)],
    case [ok || {{ok, _}, {ok, _}} <- Pairs] of
        Good when length(Good) =:= length(Pairs) ->
            {ok, maps:from_list([{K, V} || {{ok, K}, {ok, V}} <- Pairs])};
        _ ->
            error
    end;
text_map(_) ->
    error.

text(<<>>) -> {ok, <<>>};
text([]) -> {ok, <<>>};
text(V) -> name(V).
